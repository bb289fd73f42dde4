"""A spot venue where only stops rest, a wire to it that fails, and positions that are simply there: for the guardian.

The venue is the paper venue's machinery with a real venue's rules on top: what a resting sell order would sell is held
by it, so that a second one is refused; and it tells nothing for certain of an order that it does not know.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from builders import ACCOUNT, BTC, CENT, COSTS, ETH, MARKET, StaticPrices, decision, limits, store_decisions

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.clock import Clock, ReplayClock
from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.errors import UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Candle, Instrument
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, OrderType, Side, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Proposal, ProposalKind, Verdict, VerdictStatus
from triplegain_pipelines.execution.account import open_account
from triplegain_pipelines.execution.broker import VenueRejectionError, VenueTraits
from triplegain_pipelines.execution.desk import Desk, account_transaction
from triplegain_pipelines.execution.documents import proposal_text
from triplegain_pipelines.execution.exits import Closing, close_position
from triplegain_pipelines.execution.intents import intend
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.execution.protection import protect
from triplegain_pipelines.execution.sending import send
from triplegain_pipelines.store import heartbeats, verdicts
from triplegain_pipelines.store import paper_venue as tables
from triplegain_pipelines.store.database import Database

SPOT = VenueTraits(
    absence_is_final=False,
    expiry=timedelta(seconds=5),
    holds_pairs=False,
    holds_stops=True,
    dead_man_timer=True,
)
NO_STOPS = replace(SPOT, holds_stops=False)
PAIRS = PaperVenue.traits
STEP = Decimal("0.0001")


class Spot:
    """The venue and the wire to it. It is no `PaperVenue`: what rests here fills when the venue says so.

    Fault sets hold legs, and each fault happens once; `refuse` refuses until it is emptied. `submissions` and `timers`
    are what was sent. `on_submit` is called before anything of a submission is done.
    """

    venue = "paper"

    def __init__(self, behind: PaperVenue, database: Database, traits: VenueTraits) -> None:
        self.behind, self._database, self.traits = behind, database, traits
        self.lose_request: set[str] = set()
        self.lose_answer: set[str] = set()
        self.refuse: set[str] = set()
        self.lose_cancels = 0
        self.down = False
        self.submissions: list[Intent] = []
        self.cancels: list[OrderReference] = []
        self.timers: list[timedelta | None] = []
        self.on_submit: Callable[[Intent], None] = lambda _: None

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
        """Take the order, unless a fault is due, or less is free than it would sell."""
        self.submissions.append(intent)
        self.on_submit(intent)
        self._answer()
        if intent.leg in self.lose_request:
            self.lose_request.discard(intent.leg)
            msg = "the request was lost"
            raise UnknownOutcomeError(msg)
        if intent.leg in self.refuse:
            msg = "refused by the test"
            raise VenueRejectionError(msg)
        if not self.traits.holds_pairs and intent.side is Side.SELL and intent.quantity > self._free(intent.symbol):
            msg = f"insufficient funds: {self._free(intent.symbol)} of {intent.symbol} is free"
            raise VenueRejectionError(msg)
        answer = self.behind.submit(intent, sent_at, expires_at)
        if intent.leg in self.lose_answer:
            self.lose_answer.discard(intent.leg)
            msg = "the answer was lost"
            raise UnknownOutcomeError(msg)
        return answer

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Cancel, unless that gets lost."""
        self.cancels.append(order)
        self._answer()
        if self.lose_cancels:
            self.lose_cancels -= 1
            msg = "the cancellation was lost"
            raise UnknownOutcomeError(msg)
        return self.behind.cancel(order)

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """What is known of it now; nothing is sure of what is not known."""
        self._answer()
        with self._database.connection() as connection:
            if tables.read(connection, order.client_order_id) is None:
                return None
        return self.behind.lookup(order)

    def keep_alive(self, timeout: timedelta | None) -> None:
        """Note it."""
        self._answer()
        self.timers.append(timeout)

    def match(self, account: str, candle: Candle) -> tuple[object, ...]:
        """Let the venue see a price."""
        return self.behind.match(account, candle)

    def __getattr__(self, name: str) -> object:
        """The rest is the venue's."""
        return getattr(self.behind, name)

    def resting(self) -> list[tuple[str, str, Decimal]]:
        """Symbol, type and open quantity of what rests there."""
        with self._database.connection() as connection:
            live = tables.live(connection, ACCOUNT)
        return [(one.symbol, one.order_type.value, one.quantity - one.filled_quantity) for one in live]

    def _answer(self) -> None:
        if self.down:
            msg = "the venue is down"
            raise UnavailableError(msg)

    def _free(self, symbol: str) -> Decimal:
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT o.side, o.state IN ('OPEN', 'PARTIALLY_FILLED'), o.quantity, o.filled_quantity
                   FROM paper_venue.orders o WHERE o.symbol = %s AND o.account = %s""",
                [symbol, ACCOUNT],
            ).fetchall()
        owned = sum((filled if side == "BUY" else -filled for side, _, _, filled in rows), Decimal(0))
        held = sum((asked - filled for side, live, asked, filled in rows if live and side == "SELL"), Decimal(0))
        return Decimal(owned - held)


@dataclass
class GuardedFloor:
    """A desk at the venue, with everything a test wants to turn."""

    database: Database
    clock: Clock
    prices: StaticPrices
    spot: Spot
    desk: Desk
    entered: list[str] = field(default_factory=list)

    def enter(
        self,
        symbol: str = BTC,
        quantity: str = "0.1",
        *,
        price: str = "10000",
        stop: str = "9800",
        target: str = "10400",
        protected: bool = True,
    ) -> None:
        """Buy at the market, past risk and fence, and protect what was bought."""
        self.prices.prices[symbol] = Decimal(price)
        made = decision(symbol, as_of=self.clock.now())
        store_decisions(self.database, [made])
        proposal = Proposal(
            proposal_id=deterministic_id("proposal", made.decision_id),
            decision_id=made.decision_id,
            account=ACCOUNT,
            symbol=symbol,
            kind=ProposalKind.OPEN,
            direction=Direction.LONG,
            quantity=Decimal(quantity),
            entry_price=Decimal(price),
            stop_loss=Decimal(stop),
            take_profit=Decimal(target),
            leverage=Decimal(1),
            confidence=0.9,
            regime=Regime.TRENDING_BULL,
        )
        intent = Intent(
            account=ACCOUNT,
            decision_id=made.decision_id,
            symbol=symbol,
            leg=Leg.ENTRY,
            attempt=1,
            side=Side.BUY,
            order_type=OrderType.MARKET,
            quantity=Decimal(quantity),
            decided_price=Decimal(price),
        )
        with OrderPath(self.desk, wait=5) as path:
            token = path.newest_token()
            with account_transaction(path.desk, token) as transaction:
                verdicts.insert(
                    transaction.connection,
                    self.desk.schema,
                    proposal,
                    Verdict(VerdictStatus.APPROVED, (), proposal),
                    document=proposal_text(proposal),
                    inputs=canonical_json({}),
                    outcome=proposal_text(proposal),
                    at=transaction.at,
                )
                placed = intend(transaction, [intent], proposal.proposal_id)
            send(path.desk, token, placed)
            if protected:
                protect(path.desk, token, symbol)

    def candle(self, price: str, symbol: str = BTC) -> Candle:
        """A price as the venue sees it."""
        value = Decimal(price)
        return Candle(symbol, self.clock.now(), value, value, value, value)

    def rows(self, query: str, *parameters: object) -> list[tuple]:
        """Rows of any query; `orders` and the like are looked for in paper_trading."""
        with self.database.connection() as connection:
            connection.execute("SET LOCAL search_path TO paper_trading, ops, public")
            return connection.execute(query.encode(), parameters).fetchall()

    def orders(self, symbol: str = BTC) -> list[tuple]:
        """Leg, attempt, state and quantity of each order, in the order in which they were meant."""
        return self.rows(
            """SELECT leg, attempt, state, quantity::float FROM orders JOIN intents USING (client_order_id)
               WHERE intents.symbol = %s ORDER BY intended_at, leg, attempt""",
            symbol,
        )

    def held(self, symbol: str = BTC) -> Decimal:
        """What the books say is held."""
        return sum(
            (row[0] for row in self.rows("SELECT quantity FROM positions WHERE symbol = %s", symbol)), Decimal(0)
        )

    def owned(self, symbol: str = BTC) -> Decimal:
        """What was bought less what was sold at the venue: the truth."""
        rows = self.rows(
            """SELECT sum(CASE side WHEN 'BUY' THEN filled_quantity ELSE -filled_quantity END)
               FROM paper_venue.orders WHERE symbol = %s""",
            symbol,
        )
        return rows[0][0] or Decimal(0)

    def events(self, kind: str) -> list[tuple]:
        """Payload fields of the events of a kind: symbol and reason."""
        return self.rows(
            """SELECT payload::json ->> 'symbol', payload::json ->> 'reason' FROM trading_events
               WHERE kind = %s ORDER BY sequence""",
            kind,
        )

    def alerts(self) -> set[str]:
        """Kinds of the open alerts."""
        return {row[0] for row in self.rows("SELECT kind FROM alerts WHERE ended_at IS NULL")}

    def sent(self, leg: Leg) -> int:
        """How many orders of a leg were sent."""
        return [intent.leg for intent in self.spot.submissions].count(leg)


def guarded_floor(
    database: Database, clock: Clock, traits: VenueTraits = SPOT, symbols: Sequence[str] = (BTC, ETH)
) -> GuardedFloor:
    """An open account at a venue of these traits."""
    instruments = {symbol: Instrument(symbol, STEP, CENT, STEP, Decimal(5)) for symbol in symbols}
    prices = StaticPrices(dict.fromkeys(symbols, Decimal(10_000)))
    behind = PaperVenue(database, ACCOUNT, prices, clock, instruments, COSTS)
    spot = Spot(behind, database, traits)
    desk = Desk(
        database=database,
        account=ACCOUNT,
        market=MARKET,
        clock=clock,
        prices=prices,
        broker=spot,  # type: ignore[arg-type] # the rest of the protocol is passed on
        limits=limits(),
        fee_rate=COSTS.fee,
        instruments=instruments,
    )
    open_account(desk, Decimal(1_000_000), clock.now(), currency="USDT", simulated=True)
    return GuardedFloor(database, clock, prices, spot, desk)


def beat(floor: GuardedFloor) -> None:
    """Let the guardian's heart beat now."""
    with floor.database.connection() as connection:
        heartbeats.beat(connection, heartbeats.GUARDIAN, floor.desk.account, floor.clock.now())


def mend(floor: GuardedFloor, symbol: str = BTC) -> None:
    """Protect the position as it should be."""
    with OrderPath(floor.desk) as path:
        protect(path.desk, path.newest_token(), symbol)


def close(floor: GuardedFloor, symbol: str = BTC, reason: ReasonCode = ReasonCode.STOP_REACHED) -> Closing:
    """Close the position a little under the price it was entered at."""
    with OrderPath(floor.desk) as path:
        return close_position(path.desk, path.newest_token(), symbol, reason, Decimal(9_790))


def later(clock: ReplayClock, seconds: float = 1) -> None:
    """Let time go by."""
    clock.advance_to(clock.now() + timedelta(seconds=seconds))
