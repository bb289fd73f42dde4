"""What a person does to an account by hand: its breakers and its mode. Works without Dagster."""

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, TradingMode
from triplegain_pipelines.execution.books import change_breakers, load_books
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.risk.breakers import BreakerChange, cleared_by_hand, opened_by_hand
from triplegain_pipelines.risk.modes import loosens
from triplegain_pipelines.risk.state import losses_forgotten, unlocked
from triplegain_pipelines.store import risk_state, trading_modes
from triplegain_pipelines.store.events import EventKind

_LETS_GO = {BreakerName.DRAWDOWN: unlocked, BreakerName.CONSECUTIVE_LOSSES: losses_forgotten}


def switch_breaker(desk: Desk, name: BreakerName, state: BreakerState, operator: str, why: str) -> BreakerChange:
    """Open or clear a breaker of the desk's account, with who and why in its history and in the trail.

    Clearing also lets go of what would trip it again at the next mark: the drawdown's lock and peak, and the row of
    losses. Those two go on trial (R8, safe mode), and only trial trades that win end that.

    Raises:
        InputError: no reason is given, or the breaker is in that state already.
    """
    if not why.strip():
        msg = "say why: the reason is kept with the breaker's history"
        raise InputError(msg)
    with account_transaction(desk, None) as transaction:
        books = load_books(transaction)
        before = books.breakers[name]
        opens = state is BreakerState.OPEN
        change = (
            opened_by_hand(before, operator, why, transaction.at)
            if opens
            else cleared_by_hand(before, operator, why, desk.limits, transaction.at)
        )
        if change.after.state is before.state:
            on_trial = f", {before.trials_left} winning trades from closed" if before.trials_left else ""
            since = f"{before.changed_at:%Y-%m-%d %H:%M} UTC"
            msg = f"breaker {name} of {desk.account} is {before.state} already, since {since}{on_trial}"
            raise InputError(msg)
        change_breakers(transaction, [change], operator)
        if not opens and name in _LETS_GO:
            risk_state.write(transaction.connection, desk.schema, desk.account, _LETS_GO[name](books.risk))
    return change


def set_mode(desk: Desk, mode: TradingMode, operator: str, why: str) -> TradingMode:
    """Put the desk's account in `mode` by a person's word, and return the mode it was in.

    An emergency stop that is in force stays so: the mode counts once it is released.

    Raises:
        InputError: the account is in that mode already, or it is loosened without a reason.
    """
    with account_transaction(desk, None) as transaction:
        before = trading_modes.read(transaction.connection, desk.account)
        if before is mode:
            msg = f"the account {desk.account} is {mode} already"
            raise InputError(msg)
        if loosens(before, mode) and not why.strip():
            msg = f"say why {desk.account} may go from {before} to {mode}: the reason is kept with the mode"
            raise InputError(msg)
        change_mode(transaction, mode, changed_by=operator, reason=ReasonCode.MODE_OPERATOR, why=why)
    return before


def change_mode(
    transaction: AccountTransaction, mode: TradingMode, *, changed_by: str, reason: ReasonCode, why: str
) -> None:
    """Put the transaction's account in `mode`, with a row and an event; nothing happens where it is in it already."""
    connection, account = transaction.connection, transaction.account
    before = trading_modes.read(connection, account)
    if before is mode:
        return
    trading_modes.change(connection, account, mode, changed_by=changed_by, reason=reason, why=why, at=transaction.at)
    transaction.note(
        EventKind.MODE_CHANGED, before=before, after=mode, changed_by=changed_by, code=reason.value, why=why
    )
