"""Puts a desk together: an account's clock, prices and venue under the profile's limits."""

from dataclasses import replace
from decimal import Decimal
from functools import cache

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import CredentialError, InputError, LiveTradingError
from triplegain_pipelines.domain.market import Instrument, PriceSource
from triplegain_pipelines.execution.broker import NoAccess
from triplegain_pipelines.execution.desk import LIVE, PAPER, Desk
from triplegain_pipelines.execution.emergency import emergency_file
from triplegain_pipelines.execution.paper_venue import PaperVenue, costs_of
from triplegain_pipelines.operations.feed import simulated_market
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import decided_symbols
from triplegain_pipelines.store.overview import read_overviews
from triplegain_pipelines.store.server import state_folders

_PER_BASIS_POINT = Decimal("0.0001")


def session_desk(database: Database, session: Session) -> Desk:
    """The desk of the session's account: on paper, or at the venue where the profile trades real money.

    It trades what the account still holds too: a symbol that left the profile meanwhile has to be guarded and closed.

    Raises:
        UnavailableError: the venue does not tell the rules it trades by.
    """
    session = replace(session, symbols=_with_held(database, session))
    if not session.live:
        return paper_desk(database, session, session.clock, current_prices(session))
    try:
        return live_desk(database, session)
    except (LiveTradingError, CredentialError):
        # Marking, judging and refusing go on; `triplegain live check` says what is missing.
        return _without_access(database, session)


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
        broker=PaperVenue(database, session.account, prices, clock, instruments, costs),
        limits=session.settings.risk,
        fee_rate=costs.fee,
        instruments=instruments,
        clock_compared=not session.simulated and not session.replay,
        emergency_file=None if session.replay else emergency_file(session.settings.home),
        state=() if session.replay else state_folders(session.settings),
    )


def live_desk(database: Database, session: Session) -> Desk:
    """A desk that trades the session's account at its venue.

    Raises:
        LiveTradingError: a switch of live trading is off.
        CredentialError: there is no key that may trade.
        UnavailableError: the database or the venue does not answer.
    """
    from triplegain_pipelines.operations.credentials import key_ring
    from triplegain_pipelines.operations.live import live_keys
    from triplegain_pipelines.operations.live_broker import live_broker

    own, live = session.settings, session.settings.profile.live
    if session.venue != own.profile.venue:
        msg = f"no desk for real money is opened at {session.venue}: the profile's venue is {own.profile.venue}"
        raise LiveTradingError(msg)
    keys = live_keys(own, session.account, key_ring(database, own))
    if live is None:
        msg = f"the profile {own.environment.profile} has no section 'live'"
        raise LiveTradingError(msg)
    broker = live_broker(own.venues.of(session.venue), session.venue, keys, live, session.symbols)
    return Desk(
        database=database,
        account=session.account,
        market=session.venue,
        clock=session.clock,
        prices=current_prices(session),
        broker=broker,
        limits=own.risk,
        fee_rate=live.fee_bps * _PER_BASIS_POINT,
        instruments=broker.instruments(session.symbols),
        schema=LIVE,
        live=True,
        clock_compared=True,
        config_hash=own.config_hash,
        emergency_file=emergency_file(own.home),
        state=state_folders(own),
    )


def account_desk(database: Database, settings: Settings, account: str) -> Desk:
    """A desk for what a person does to an account by hand.

    A live account has its venue where this process may open it, and otherwise a desk that sends nothing.

    Raises:
        InputError: there is no such account.
    """
    with database.connection() as connection:
        known = {one.account: (schema, one) for schema in (PAPER, LIVE) for one in read_overviews(connection, schema)}
        symbols = decided_symbols(connection, account)
    if account not in known:
        msg = f"there is no account {account}; the accounts are: {', '.join(known) or 'none'}"
        raise InputError(msg)
    schema, found = known[account]
    session = Session(account, found.venue, symbols, replay=False, settings=settings, clock=SystemClock())
    if schema == PAPER:
        return paper_desk(database, session, session.clock, current_prices(session))
    if session.live and account == settings.profile.account:
        return session_desk(database, session)
    return _without_access(database, session)


def current_prices(session: Session) -> PriceSource:
    """The prices of now: the simulated market's, or the venue's ticker."""
    if session.simulated:
        return simulated_market(session.settings, session.symbols)
    from triplegain_pipelines.market.venues.ticker import TickerPrices

    return TickerPrices(session.settings.venues.of(session.venue), session.clock)


def _with_held(database: Database, session: Session) -> tuple[str, ...]:
    """The session's symbols, and those that the account has positions or unfinished orders in."""
    if session.replay:
        return session.symbols
    with database.connection() as connection:
        held = {one.symbol for one in positions.read_all(connection, session.schema, session.account)}
        held |= {one.intent.symbol for one in orders.alive(connection, session.schema, session.account)}
    return (*session.symbols, *sorted(held.difference(session.symbols)))


@cache
def _no_access(venue: str) -> NoAccess:
    """One and the same, so that a desk without access is seen to be what it was."""
    return NoAccess(venue)


def _without_access(database: Database, session: Session) -> Desk:
    """A desk of a live account in a process that may not send for it."""
    live = session.settings.profile.live
    return Desk(
        database=database,
        account=session.account,
        market=session.venue,
        clock=session.clock,
        prices=current_prices(session),
        broker=_no_access(session.venue),
        limits=session.settings.risk,
        fee_rate=live.fee_bps * _PER_BASIS_POINT if live else Decimal(0),
        instruments={symbol: Instrument(symbol) for symbol in session.symbols},
        schema=LIVE,
        live=True,
        clock_compared=True,
        config_hash=session.settings.config_hash,
        emergency_file=emergency_file(session.settings.home),
        state=state_folders(session.settings),
    )
