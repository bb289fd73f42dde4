"""Puts a paper desk together: the account's clock, prices and venue under the profile's limits."""

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument, PriceSource
from triplegain_pipelines.execution.desk import PAPER, Desk
from triplegain_pipelines.execution.paper_venue import PaperVenue, costs_of
from triplegain_pipelines.operations.feed import simulated_market
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import decided_symbols
from triplegain_pipelines.store.overview import read_overviews


def paper_desk(database: Database, session: Session, clock: Clock, prices: PriceSource) -> Desk:
    """A desk that trades the session's account on the paper venue.

    Args:
        database: where books and venue are kept.
        session: account, symbols, limits and costs.
        clock: the machine's, or that of a replay.
        prices: what can be traded at: the market's prices, or recorded candles in a replay.
    """
    instruments = {symbol: Instrument(symbol) for symbol in session.symbols}
    costs = costs_of(session.settings.profile.paper)
    return Desk(
        database=database,
        account=session.account,
        market=session.venue,
        clock=clock,
        prices=prices,
        broker=PaperVenue(database, prices, clock, instruments, costs),
        limits=session.settings.risk,
        fee_rate=costs.fee,
        instruments=instruments,
        clock_compared=not session.simulated and not session.replay,
    )


def account_desk(database: Database, settings: Settings, account: str) -> Desk:
    """A desk for what a person does to an account by hand; it needs no prices.

    Raises:
        InputError: there is no such account.
    """
    with database.connection() as connection:
        known = {one.account: one for one in read_overviews(connection, PAPER)}
        symbols = decided_symbols(connection, account)
    if account not in known:
        msg = f"there is no account {account}; the accounts are: {', '.join(known) or 'none'}"
        raise InputError(msg)
    clock = SystemClock()
    session = Session(account, known[account].venue, symbols, replay=False, settings=settings, clock=clock)
    return paper_desk(database, session, clock, current_prices(session))


def current_prices(session: Session) -> PriceSource:
    """The prices of now: the simulated market's, or the venue's ticker."""
    if session.simulated:
        return simulated_market(session.settings, session.symbols)
    from triplegain_pipelines.market.venues.ticker import TickerPrices

    return TickerPrices(session.settings.venues.of(session.venue), session.clock)
