"""The step from a decision to an order that may be sent: proposal, verdict, fence and intent in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument, exact_price
from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Proposal, Verdict
from triplegain_pipelines.execution import fence
from triplegain_pipelines.execution.asking import VenueBalances, venue_balances, with_asked_prices
from triplegain_pipelines.execution.books import Books, books_of, unresolved_symbols
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.documents import VerdictInputs, inputs_text, proposal_from, proposal_text
from triplegain_pipelines.execution.intents import intend
from triplegain_pipelines.execution.sending import cancel, request_cancel
from triplegain_pipelines.execution.steps import Step, own_order, queued, refuse, standing_of, stored
from triplegain_pipelines.execution.waiting import leaves, still_in_the_way
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.portfolio.proposals import propose
from triplegain_pipelines.risk.engine import RISK_VERSION, assess
from triplegain_pipelines.risk.preflight import Surface, preflight
from triplegain_pipelines.store import verdicts
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.new_risk import Grounds
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.standing import Standing


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a decision asks for, with the prices of now and the account's unfinished orders.

    `attempt` is the number of its order, `sending` whether that is sent at once.
    """

    decision: Decision
    proposal: Proposal
    prices: Mapping[str, Decimal]
    alive: Sequence[Order]
    attempt: int
    sending: bool


def check_risk(desk: Desk, decision_id: UUID, token: int) -> Step:
    """Judge what the decision asks for, and write the order where it is allowed.

    A decision that closes a position first takes its resting orders back, so that no more than the position can ever
    be sold. A fill that came before the cancellation wins: the exit is made for what is left, or not at all. One that
    meets an entry of unknown outcome waits for it: what turns out to exist is closed then.

    Raises:
        StaleFenceError: a newer holder has the account.
        UnknownOutcomeError: an order in the way is not known to be gone, so an exit could sell twice. The decision
            stays claimed, and does not run out before that is clear.
    """
    balances, desk = venue_balances(desk), with_asked_prices(desk, decision_id)
    for closing in (False, True):
        with account_transaction(desk, token) as transaction:
            step, in_the_way = decide(transaction, decision_id, balances, closing=closing)
            pending = request_cancel(transaction, in_the_way, ReasonCode.POSITION_CLOSED)
        if step is not None:
            return step
        cancel(desk, token, pending, ReasonCode.POSITION_CLOSED)
    raise still_in_the_way(desk, token, decision_id)


def decide(
    transaction: AccountTransaction,
    decision_id: UUID,
    balances: VenueBalances,
    *,
    closing: bool,
    sending: bool = False,
    standing: Standing | None = None,
) -> tuple[Step | None, Sequence[Order]]:
    """One try: how the step ended, or the orders that have to go before it can; `closing` if they did, for an exit.

    `sending` says that the order is sent as soon as the transaction is committed, so it is written as one that was.
    `standing` is how the account stands in this transaction, where that was read already and nothing was changed since.
    """
    found = standing or standing_of(transaction, decision_id)
    row = queued(transaction, decision_id, found.row)
    made = own_order(found.made)
    if row.status.is_final:
        return Step(goes_on=False, reason=Reason(row.reason or ReasonCode.WITHIN_LIMITS)), ()
    if made is not None and made.state is not OrderState.LOST:
        return Step(goes_on=True, reason=Reason(ReasonCode.WITHIN_LIMITS)), ()
    decision, books = stored(decision_id, found.decision), books_of(transaction.account, found)
    in_the_way = [order for order in found.alive if order.intent.symbol == decision.symbol]
    if leaves(decision, in_the_way) and not found.superseded and fence.halted(transaction) is None:
        return None, in_the_way
    asked = _superseded(decision) if found.superseded else _asked(transaction, books, decision, closing=closing)
    if isinstance(asked, Reason):
        return refuse(transaction, decision_id, asked), ()
    proposal, prices = asked
    if not proposal.kind.adds_risk and in_the_way:
        return None, in_the_way
    attempt = made.intent.attempt + 1 if made else 1
    asked_now = _Asked(decision, proposal, prices, found.alive, attempt, sending)
    return _judge(transaction, books, asked_now, balances), ()


def _asked(
    transaction: AccountTransaction, books: Books, decision: Decision, *, closing: bool
) -> tuple[Proposal, Mapping[str, Decimal]] | Reason:
    """What the decision asks for, with the prices of now; or why it asks for nothing, or may not ask."""
    halted = fence.halted(transaction)
    if halted is not None:
        return halted
    if transaction.at > decision.valid_until and books.position(decision.symbol) is None:
        return fence.expired(decision.valid_until, transaction.at)
    prices, unknown = _prices(transaction, books, decision)
    if unknown is not None and books.position(decision.symbol) is None:
        return unknown
    desk = transaction.desk
    holding = books.portfolio(prices, transaction.at).holding(decision.symbol)
    step = desk.instrument(decision.symbol).price_step
    proposal = propose(decision, holding, prices[decision.symbol], desk.limits, step)
    if isinstance(proposal, Reason):
        return proposal
    if closing and proposal.kind.adds_risk:
        # A fill came before the cancellation and closed the position: what was an exit must not open the other side.
        return Reason(ReasonCode.NOTHING_TO_CLOSE)
    return unknown if unknown is not None and proposal.kind.adds_risk else (proposal, prices)


def _superseded(decision: Decision) -> Reason:
    """That a later decision in the symbol was acted on already: this one is an opinion that nobody holds any more."""
    return Reason(ReasonCode.SUPERSEDED, {"symbol": decision.symbol, "as_of": decision.as_of.isoformat()})


def _prices(
    transaction: AccountTransaction, books: Books, decision: Decision
) -> tuple[Mapping[str, Decimal], Reason | None]:
    """Prices of the decision's symbol and of all that is held; or those of the entries, and why there are no others.

    With prices of the past a position can be made smaller, and nothing else.
    """
    symbols = [decision.symbol, *(held.symbol for held in books.positions if held.symbol != decision.symbol)]
    prices = fence.current_prices(transaction.desk, symbols, transaction.at, decision.valid_until)
    if isinstance(prices, Reason):
        return {held.symbol: held.average_entry for held in books.positions}, prices
    return prices, None


def _judge(transaction: AccountTransaction, books: Books, asked: _Asked, balances: VenueBalances) -> Step:
    decision, adds = asked.decision, asked.proposal.kind.adds_risk
    grounds = fence.grounds_of(transaction) if adds else None
    if grounds is not None:
        reason = fence.refusal(
            transaction,
            symbol=decision.symbol,
            valid_until=decision.valid_until,
            states=books.breakers,
            alive=asked.alive,
            grounds=grounds,
        )
        if reason is not None:
            return refuse(transaction, decision.decision_id, reason)
    verdict = _verdict(transaction, books, asked, grounds)
    reason = verdict.reasons[0] if verdict.reasons else Reason(ReasonCode.WITHIN_LIMITS)
    if not verdict.allows:
        return refuse(transaction, decision.decision_id, reason)
    instrument = transaction.desk.instrument(decision.symbol)
    intent = order_of(verdict.proposal, books.position(decision.symbol), instrument, asked.attempt)
    if isinstance(intent, Reason):
        return refuse(transaction, decision.decision_id, intent)
    # The engine has refused under an open breaker already; no order is inserted on its word alone.
    if adds:
        against = fence.open_breaker(books.breakers) or _against(transaction.desk, asked, intent, balances)
        if against is not None:
            return refuse(transaction, decision.decision_id, against)
    (made,) = intend(transaction, [intent], verdict.proposal.proposal_id, sending=asked.sending)
    return Step(goes_on=True, reason=reason, order=made, outcome=verdict.proposal)


def _against(desk: Desk, asked: _Asked, intent: Intent, balances: VenueBalances) -> Reason | None:
    """R7: what speaks against the entry `intent` as a venue will see it, or None."""
    if isinstance(balances, Reason):
        return balances
    reference = asked.decision.reference_price
    surface = Surface(
        instrument=desk.instrument(intent.symbol),
        price=asked.prices[intent.symbol],
        reference=exact_price(reference) if reference is not None else Decimal(0),
        fee_rate=desk.fee_rate,
        balances=balances,
        working=tuple(order.intent for order in asked.alive),
    )
    return next(iter(preflight(intent, surface, desk.limits)), None)


def _verdict(transaction: AccountTransaction, books: Books, asked: _Asked, grounds: Grounds | None) -> Verdict:
    """The engine's verdict, written with its inputs. After a lost order the first one stands, or is made smaller.

    What makes a position smaller has no `grounds`: neither the market nor the day's volume speaks against it.
    """
    connection, desk, at = transaction.connection, transaction.desk, transaction.at
    # A verdict is stored together with the decision's first order, or with its end.
    stored = None if asked.attempt == 1 else verdicts.read(connection, desk.schema, asked.proposal.proposal_id)
    proposal = proposal_from(stored.document) if stored else asked.proposal
    ordered = Decimal(0) if grounds is None else grounds.ordered
    inputs = VerdictInputs(
        proposal=proposal,
        portfolio=books.portfolio(asked.prices, at, unresolved_symbols(asked.alive), ordered),
        breakers=tuple(books.breakers.values()),
        market=None if grounds is None else grounds.market,
        limits=desk.limits,
        instrument=desk.instrument(proposal.symbol),
        fee_rate=desk.fee_rate,
        live=desk.live,
        mode=transaction.mode,
    )
    verdict = judged(inputs)
    if stored is not None:
        verdict = _no_larger(verdict, proposal_from(stored.outcome))
    else:
        verdicts.insert(
            connection,
            desk.schema,
            proposal,
            verdict,
            document=proposal_text(proposal),
            inputs=inputs_text(inputs),
            outcome=proposal_text(verdict.proposal),
            at=at,
        )
    transaction.note(
        EventKind.VERDICT_GIVEN,
        decision_id=proposal.decision_id,
        proposal_id=proposal.proposal_id,
        symbol=proposal.symbol,
        proposes=proposal.kind,
        status=verdict.status,
        reasons=[reason.document() for reason in verdict.reasons],
        quantity=verdict.proposal.quantity,
        risk_version=RISK_VERSION,
    )
    return verdict


def judged(inputs: VerdictInputs) -> Verdict:
    """The verdict on exactly these inputs."""
    return assess(
        inputs.proposal,
        inputs.portfolio,
        inputs.limits,
        {breaker.name: breaker for breaker in inputs.breakers},
        inputs.market,
        inputs.instrument,
        inputs.fee_rate,
        live=inputs.live,
        mode=inputs.mode,
    )


def _no_larger(verdict: Verdict, first: Proposal) -> Verdict:
    quantity = verdict.proposal.quantity
    if quantity is None or first.quantity is None or quantity <= first.quantity:
        return verdict
    return replace(verdict, proposal=replace(verdict.proposal, quantity=first.quantity))


def order_of(proposal: Proposal, held: Position | None, instrument: Instrument, attempt: int) -> Intent | Reason:
    """The order for what risk let through. What makes a position smaller is for at most what is held now, on the grid.

    A fee in base currency leaves a position off the grid; what is left of it after the exit is dust.
    """
    quantity = proposal.quantity
    if quantity is None:
        msg = f"the risk engine let proposal {proposal.proposal_id} through without a quantity"
        raise InputError(msg)
    if proposal.kind.adds_risk:
        leg, side = Leg.ENTRY, Side.BUY if proposal.direction.sign > 0 else Side.SELL
    elif held is None:
        return Reason(ReasonCode.NOTHING_TO_CLOSE, {"symbol": proposal.symbol})
    else:
        leg, side = Leg.EXIT, Side.SELL if held.quantity > 0 else Side.BUY
        quantity = rounded_down(min(quantity, abs(held.quantity)), instrument.quantity_step)
        if not quantity:
            return Reason(ReasonCode.ORDER_BELOW_MINIMUM, {"held": format(held.quantity, "f")})
    return Intent(
        account=proposal.account,
        decision_id=proposal.decision_id,
        symbol=proposal.symbol,
        leg=leg,
        attempt=attempt,
        side=side,
        order_type=OrderType.MARKET,
        quantity=quantity,
        decided_price=proposal.entry_price,
    )
