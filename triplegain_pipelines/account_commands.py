"""The commands for what a person does to an account by hand: breakers, mode, emergency stop. None needs Dagster."""

from enum import StrEnum
from typing import Annotated

import typer

from triplegain_pipelines.console import err, opened_database, operator, out
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, TradingMode
from triplegain_pipelines.settings import settings

_Account = Annotated[str | None, typer.Option(help="Account; the profile's if left out.")]


_NOT_SAID = "not said: it was an emergency"
"""Nobody has to find words before trading stops. Letting it go on takes a reason."""


class Switch(StrEnum):
    """What a person can do to a breaker."""

    OPEN = "open"
    CLEAR = "clear"


def breaker(
    switch: Annotated[Switch, typer.Argument(help="Open it, or clear it.")],
    name: Annotated[BreakerName, typer.Argument(help="Which breaker; drawdown is the ladder's lock.")],
    why: Annotated[str, typer.Option(help="The reason; it is kept with your name.")],
    account: _Account = None,
) -> None:
    """Open or clear a circuit breaker by hand. Works without Dagster."""
    from triplegain_pipelines.execution.operator import switch_breaker
    from triplegain_pipelines.operations.desks import account_desk

    with opened_database() as database:
        desk = account_desk(database, settings(), account or settings().profile.account)
        state = BreakerState.OPEN if switch is Switch.OPEN else BreakerState.CLOSED
        change = switch_breaker(desk, name, state, operator(), why)
    trials = f", {change.after.trials_left} trial trades at reduced size" if change.after.trials_left else ""
    out.print(f"{name} of {desk.account}: {change.before.state} → {change.after.state}{trials}")


def mode(
    mode: Annotated[TradingMode, typer.Argument(help="REDUCING only makes positions smaller; HALTED sends nothing.")],
    why: Annotated[str, typer.Option(help="The reason; it is kept with your name.")],
    account: _Account = None,
) -> None:
    """Change what an account may do at all. Works without Dagster."""
    from triplegain_pipelines.execution.operator import set_mode
    from triplegain_pipelines.operations.desks import account_desk

    with opened_database() as database:
        desk = account_desk(database, settings(), account or settings().profile.account)
        before = set_mode(desk, mode, operator(), why)
    out.print(f"mode of {desk.account}: {before} → {mode}")


def stop(
    why: Annotated[str, typer.Option(help="The reason; it is kept with your name.")] = _NOT_SAID,
    emergency: Annotated[bool, typer.Option("--emergency", help="Stop all trading at once.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Let trading go on.")] = False,
    account: Annotated[str | None, typer.Option(help="Account; all of them if left out.")] = None,
    flatten: Annotated[bool, typer.Option("--flatten", help="Close all positions at the market too.")] = False,
) -> None:
    """Stop all trading, or let it go on. Works without Dagster, and for this home without its database."""
    from triplegain_pipelines.execution.emergency import StopOrder, release_stop
    from triplegain_pipelines.operations.desks import account_desk
    from triplegain_pipelines.operations.stopping import stop_trading

    if emergency == release or (release and flatten):
        msg = "say either --emergency, with --flatten to close all positions too, or --release"
        raise InputError(msg)
    if release and why == _NOT_SAID:
        msg = "say why trading may go on, with --why; it is kept with your name"
        raise InputError(msg)
    order = StopOrder(account, flatten, operator(), why, SystemClock().now())
    if release:
        with opened_database() as database:
            released = release_stop(database, settings().home, order)
        out.print(f"released: {len(released)} in the database" + ("" if account else ", and the file of this home"))
        return
    out.print("EMERGENCY STOP")
    if not stop_trading(settings(), order, opened_database, account_desk, lambda line: out.print(f"  {line}")):
        err.print("not everything was done, see above; what is said to stop is stopped")
        raise typer.Exit(1)
