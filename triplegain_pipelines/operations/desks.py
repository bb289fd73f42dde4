"""Puts a paper desk together: the account's clock, prices and venue under the profile's limits."""

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.market import Instrument, PriceSource
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.paper_venue import PaperVenue, costs_of
from triplegain_pipelines.operations.feed import simulated_market
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database


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
        clock=clock,
        prices=prices,
        broker=PaperVenue(database, prices, clock, instruments, costs),
        limits=session.settings.risk,
        fee_rate=costs.fee,
        instruments=instruments,
    )


def current_prices(session: Session) -> PriceSource:
    """The prices of now: the simulated market's, or the venue's ticker."""
    if session.simulated:
        return simulated_market(session.settings, session.symbols)
    from triplegain_pipelines.market.history import TickerPrices

    return TickerPrices(session.venue, session.clock)
