"""A live account at an exchange on loopback: the real adapter, the real order path, the live books, and no money.

What a live account needs before it may take new risk, a rehearsal gives itself: an arming, a market state, compared
clocks. Everything behind that is the code that trades.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.decisions import Action, Decision, Regime
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.account import open_account, queue_decisions
from triplegain_pipelines.execution.desk import LIVE, Desk
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.settings.venues import VenueSettings
from triplegain_pipelines.store import heartbeats, live_armings, market_states
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.live_armings import Arming
from triplegain_pipelines.store.snapshots import save_snapshots

ACCOUNT = "rehearsal"
VERSION = "rehearsal-1"

_PER_BASIS_POINT = Decimal("0.0001")
_ARMED_FOR = timedelta(hours=24)
_VALID = timedelta(minutes=10)
_ATR_SHARE = 0.01
_CALM_VOLATILITY, _CALM_PERCENTILE = 0.2, 0.5


def loopback_desk(
    database: Database,
    server: LoopbackServer,
    venue: VenueSettings,
    live: LiveSettings,
    limits: RiskLimits,
    clock: Clock,
    patience: timedelta | None = None,
) -> Desk:
    """A live desk whose broker and prices are those of `server`.

    Args:
        database: of the books, in which nothing else should be.
        server: started.
        venue: what venues.yaml says of the venue it speaks for.
        live: how requests are sent.
        limits: under which is traded.
        clock: ours, which the exchange shares if it can be moved.
        patience: how long an answer is waited for; None: as in trading.
    """
    from triplegain_pipelines.execution.venues.factory import open_broker
    from triplegain_pipelines.market.venues.ticker import TickerPrices

    symbols = tuple(server.exchange.instruments)
    keys = Keys(server.api_key, server.api_secret)
    broker = open_broker(
        venue, server.venue, keys, live, clock, symbols=symbols, base_url=server.url, patience=patience
    )
    return Desk(
        database=database,
        account=ACCOUNT,
        market=server.venue,
        clock=clock,
        prices=TickerPrices(venue, clock, server.url),
        broker=broker,
        limits=limits,
        fee_rate=live.fee_bps * _PER_BASIS_POINT,
        instruments=broker.instruments(symbols),
        schema=LIVE,
        live=True,
        clock_compared=True,
    )


def open_books(desk: Desk, cash: Decimal, currency: str) -> None:
    """Open the account with what the exchange has, and arm it for a day."""
    at = desk.clock.now()
    open_account(desk, cash, at, currency=currency, simulated=True)
    arm(desk)


def arm(desk: Desk) -> None:
    """Arm the account for a day from now on."""
    at = desk.clock.now()
    armed = Arming(desk.account, at, at + _ARMED_FOR, "rehearsal", "an exchange on loopback, without money", [])
    with desk.database.connection() as connection:
        live_armings.insert(connection, armed)


def make_ready(desk: Desk) -> None:
    """What services do every few seconds: compare the clocks, mark the account, evaluate the breakers."""
    with desk.database.connection() as connection:
        heartbeats.beat(connection, heartbeats.CLOCK, desk.market, desk.clock.now())
        heartbeats.beat(connection, heartbeats.GUARDIAN, desk.account, desk.clock.now())
    guard(desk)


def queue_scripted(desk: Desk, symbol: str, action: Action, atr_share: float = _ATR_SHARE) -> Decision:
    """Queue a decision that nothing but risk speaks against, on a calm market, at the price of now.

    Args:
        desk: of the account.
        symbol: what is decided on.
        action: what is decided.
        atr_share: the average true range as a share of the price: the smaller it is, the closer the stop.
    """
    at = desk.clock.now()
    price = float(desk.prices.quote(symbol, at).price)
    decision = scripted_decision(desk.account, desk.market, symbol, at, action, price, atr_share)
    state = calm_market(desk.instruments, at)
    with desk.database.connection() as connection:
        save_snapshots(connection, [empty_snapshot(decision)])
        save_decisions(connection, [decision])
        market_states.save(connection, desk.market, [state], VERSION)
    queue_decisions(desk, [decision])
    return decision


def empty_snapshot(decision: Decision) -> Snapshot:
    """An empty one: nobody looked at the market for this decision."""
    return Snapshot(
        snapshot_id=decision.snapshot_id,
        venue=decision.venue,
        symbol=decision.symbol,
        as_of=decision.as_of,
        content_hash=content_hash(str(decision.snapshot_id)),
        data_version=VERSION,
        code_version=VERSION,
        document="{}",
    )


def calm_market(symbols: Collection[str], at: datetime) -> MarketState:
    """A market in which nothing is refused or made smaller because of it."""
    volatilities = dict.fromkeys(symbols, _CALM_VOLATILITY)
    return MarketState(at, volatilities, dict.fromkeys(symbols, _CALM_PERCENTILE), _uncorrelated(symbols))


def _uncorrelated(symbols: Collection[str]) -> dict[tuple[str, str], float]:
    ordered = sorted(symbols)
    return {(first, second): 0.0 for number, first in enumerate(ordered) for second in ordered[number + 1 :]}


def scripted_decision(
    account: str, venue: str, symbol: str, at: datetime, action: Action, price: float, atr_share: float = _ATR_SHARE
) -> Decision:
    """A decision that nothing but risk speaks against, with an average true range of that share of the price."""
    return Decision(
        decision_id=deterministic_id("decision", account, symbol, at),
        account=account,
        venue=venue,
        symbol=symbol,
        as_of=at,
        valid_until=at + _VALID,
        snapshot_id=deterministic_id("snapshot", venue, symbol, at),
        forecast_ids=(),
        regime=Regime.TRENDING_BULL,
        action=action,
        reason_code=ReasonCode.CONSENSUS_REACHED,
        p_up=0.7,
        confidence=0.7,
        pooled_log_odds=0.8,
        slope=0.3,
        settled_count=0.0,
        answers=6,
        vendors=5,
        quorum_met=True,
        unanimous=True,
        agreement=1.0,
        disagreement=0.1,
        size_factor=Decimal(1),
        leverage=Decimal(1),
        reference_price=price,
        atr=price * atr_share,
        explanation="scripted for a rehearsal",
        code_version=VERSION,
        code_versions={"consensus": VERSION},
    )
