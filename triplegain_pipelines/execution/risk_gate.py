"""The step from a decision to an order that may be sent: proposal, verdict, fence and intent in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import InputError, UnknownOutcomeError
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Proposal, ProposalKind, Verdict
from triplegain_pipelines.execution import fence
from triplegain_pipelines.execution.books import Books, load_books, unresolved_symbols
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.execution.documents import VerdictInputs, inputs_text, proposal_from, proposal_text
from triplegain_pipelines.execution.protection import note_intent
from triplegain_pipelines.execution.sending import cancel, request_cancel
from triplegain_pipelines.execution.steps import Step, decision_of, main_order, refuse
from triplegain_pipelines.portfolio.proposals import propose
from triplegain_pipelines.risk.engine import RISK_VERSION, assess
from triplegain_pipelines.store import orders, outbox, verdicts
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order


def check_risk(desk: Desk, decision_id: UUID, token: int) -> Step:
    """Judge what the decision asks for, and write the order where it is allowed.

    A decision that closes a position first takes its resting orders back, so that no more than the position can ever
    be sold. A fill that came before the cancellation wins: the exit is made for what is left, or not at all.

    Raises:
        StaleFenceError: a newer holder has the account.
        UnknownOutcomeError: the venue did not answer a cancellation, so an exit could sell twice.
    """
    for closing in (False, True):
        with account_transaction(desk, token) as transaction:
            step, in_the_way = _decide(transaction, decision_id, closing=closing)
            pending = request_cancel(transaction, in_the_way, ReasonCode.POSITION_CLOSED)
        if step is not None:
            return step
        cancel(desk, token, pending, ReasonCode.POSITION_CLOSED)
    msg = f"the venue did not confirm that the orders in the way of decision {decision_id} are gone; reconcile first"
    raise UnknownOutcomeError(msg)


def _decide(
    transaction: AccountTransaction, decision_id: UUID, *, closing: bool
) -> tuple[Step | None, Sequence[Order]]:
    """One try: how the step ended, or the orders that have to go before it can; `closing` if they did, for an exit."""
    connection, desk = transaction.connection, transaction.desk
    row = outbox.read(connection, desk.schema, desk.account, decision_id)
    if row is None:
        msg = f"decision {decision_id} is not in the outbox of {desk.account!r}; queue it before acting on it"
        raise InputError(msg)
    made = main_order(transaction, decision_id)
    if row.status.is_final:
        return Step(goes_on=False, reason=Reason(row.reason or ReasonCode.WITHIN_LIMITS)), ()
    if made is not None and made.state is not OrderState.LOST:
        return Step(goes_on=True, reason=Reason(ReasonCode.WITHIN_LIMITS)), ()
    decision = decision_of(transaction, decision_id)
    books = load_books(transaction)
    asked = _asked(transaction, books, decision)
    if isinstance(asked, Reason):
        return refuse(transaction, decision_id, asked), ()
    proposal, prices = asked
    if closing and proposal.kind is ProposalKind.OPEN:
        # A fill came before the cancellation and closed the position: what was an exit must not open the other side.
        return refuse(transaction, decision_id, Reason(ReasonCode.NOTHING_TO_CLOSE)), ()
    alive = orders.alive(connection, desk.schema, desk.account)
    in_the_way = [order for order in alive if order.intent.symbol == decision.symbol]
    if proposal.kind is ProposalKind.CLOSE and in_the_way:
        return None, in_the_way
    attempt = made.intent.attempt + 1 if made else 1
    return _judge(transaction, books, decision, proposal, prices, alive, attempt), ()


def _asked(
    transaction: AccountTransaction, books: Books, decision: Decision
) -> tuple[Proposal, Mapping[str, Decimal]] | Reason:
    """What the decision asks for, with the prices of now; or why it asks for nothing."""
    if transaction.at > decision.valid_until and books.position(decision.symbol) is None:
        return fence.expired(decision.valid_until, transaction.at)
    prices = _prices(transaction, books, decision)
    if isinstance(prices, Reason):
        return prices
    desk = transaction.desk
    holding = books.portfolio(prices, transaction.at).holding(decision.symbol)
    step = desk.instrument(decision.symbol).price_step
    proposal = propose(decision, holding, prices[decision.symbol], desk.limits, step)
    return proposal if isinstance(proposal, Reason) else (proposal, prices)


def _prices(transaction: AccountTransaction, books: Books, decision: Decision) -> Mapping[str, Decimal] | Reason:
    """Prices of the decision's symbol and of all that is held. Without them only a position of it can be closed."""
    symbols = [decision.symbol, *(held.symbol for held in books.positions if held.symbol != decision.symbol)]
    prices = fence.current_prices(transaction.desk, symbols, transaction.at, decision.valid_until)
    if isinstance(prices, Reason) and books.position(decision.symbol) is not None:
        return {held.symbol: held.average_entry for held in books.positions}
    return prices


def _judge(
    transaction: AccountTransaction,
    books: Books,
    decision: Decision,
    proposal: Proposal,
    prices: Mapping[str, Decimal],
    alive: Sequence[Order],
    attempt: int,
) -> Step:
    opens = proposal.kind is ProposalKind.OPEN
    if opens:
        reason = fence.refusal(
            transaction,
            symbol=decision.symbol,
            valid_until=decision.valid_until,
            states=books.breakers,
            alive=alive,
        )
        if reason is not None:
            return refuse(transaction, decision.decision_id, reason)
    proposal, verdict = _verdict(transaction, books, proposal, prices, alive)
    reason = verdict.reasons[0] if verdict.reasons else Reason(ReasonCode.WITHIN_LIMITS)
    if not verdict.allows:
        return refuse(transaction, decision.decision_id, reason)
    # The engine has refused under an open breaker already; no order is inserted on its word alone.
    tripped = fence.open_breaker(books.breakers) if opens else None
    if tripped is not None:
        return refuse(transaction, decision.decision_id, tripped)
    _intend(transaction, books, verdict.proposal, attempt)
    return Step(goes_on=True, reason=reason)


def _verdict(
    transaction: AccountTransaction,
    books: Books,
    proposal: Proposal,
    prices: Mapping[str, Decimal],
    alive: Sequence[Order],
) -> tuple[Proposal, Verdict]:
    """The engine's verdict, written with its inputs. After a lost order the first one stands, or is made smaller."""
    connection, desk = transaction.connection, transaction.desk
    stored = verdicts.read(connection, desk.schema, proposal.proposal_id)
    proposal = proposal_from(stored.document) if stored else proposal
    inputs = VerdictInputs(
        proposal=proposal,
        portfolio=books.portfolio(prices, transaction.at, unresolved_symbols(alive)),
        breakers=tuple(books.breakers.values()),
        limits=desk.limits,
        instrument=desk.instrument(proposal.symbol),
        fee_rate=desk.fee_rate,
        live=desk.live,
    )
    verdict = judged(inputs)
    if stored is not None:
        return proposal, _no_larger(verdict, proposal_from(stored.outcome))
    verdicts.insert(
        connection,
        desk.schema,
        proposal,
        verdict,
        document=proposal_text(proposal),
        inputs=inputs_text(inputs),
        outcome=proposal_text(verdict.proposal),
        at=transaction.at,
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
    return proposal, verdict


def judged(inputs: VerdictInputs) -> Verdict:
    """The verdict on exactly these inputs."""
    return assess(
        inputs.proposal,
        inputs.portfolio,
        inputs.limits,
        {breaker.name: breaker for breaker in inputs.breakers},
        inputs.instrument,
        inputs.fee_rate,
        live=inputs.live,
    )


def _no_larger(verdict: Verdict, first: Proposal) -> Verdict:
    quantity = verdict.proposal.quantity
    if quantity is None or first.quantity is None or quantity <= first.quantity:
        return verdict
    return replace(verdict, proposal=replace(verdict.proposal, quantity=first.quantity))


def _intend(transaction: AccountTransaction, books: Books, proposal: Proposal, attempt: int) -> None:
    leg = Leg.ENTRY if proposal.kind is ProposalKind.OPEN else Leg.EXIT
    held = books.position(proposal.symbol)
    quantity = proposal.quantity if leg is Leg.ENTRY or held is None else abs(held.quantity)
    if quantity is None:
        msg = f"the risk engine let proposal {proposal.proposal_id} through without a quantity"
        raise InputError(msg)
    buys = (proposal.direction.sign > 0) is (leg is Leg.ENTRY)
    intent = Intent(
        account=proposal.account,
        decision_id=proposal.decision_id,
        symbol=proposal.symbol,
        leg=leg,
        attempt=attempt,
        side=Side.BUY if buys else Side.SELL,
        order_type=OrderType.MARKET,
        quantity=quantity,
        decided_price=proposal.entry_price,
    )
    orders.insert(
        transaction.connection,
        transaction.schema,
        [intent],
        proposal_id=proposal.proposal_id,
        token=transaction.token,
        at=transaction.at,
    )
    note_intent(transaction, intent)
