"""The commands about real money: live check, arm and disarm; credentials. `cli` puts them beside the others."""

import getpass
import sys
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from triplegain_pipelines.console import AsJson, err, opened_database, operator, out, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.errors import InputError, TripleGainError
from triplegain_pipelines.domain.secrets import Keys, Purpose
from triplegain_pipelines.operations.live_switches import Switch
from triplegain_pipelines.settings import Deployment, settings
from triplegain_pipelines.store.credentials import Credential, Use

live = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Trading with real money: how its switches stand, arming, disarming.",
)
credentials = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Keys of venues: store, list, rotate, check, remove. They are never shown.",
)

Why = Annotated[str, typer.Option(help="The reason; it is kept with your name.")]
Venue = Annotated[str, typer.Argument(help="Venue: kraken.")]
For = Annotated[Purpose, typer.Argument(help="watch reads the account, trade sends orders.")]
In = Annotated[Deployment | None, typer.Option("--environment", help="Whose key; that of ENVIRONMENT if left out.")]


@live.command("check")
def check_live(as_json: AsJson = False) -> None:
    """List every switch of live trading with its state. Exit code 1 unless all are on."""
    from triplegain_pipelines.operations.live import live_state

    with opened_database() as database:
        state = live_state(database, settings(), SystemClock())
    if as_json:
        print_json(state.document())
    else:
        _show_switches(state.switches)
        until = f"armed until {state.armed_until:%Y-%m-%d %H:%M} UTC" if state.armed_until else "not armed"
        out.print(f"{state.account}: [bold]{'ready' if state.ready else 'not ready'}[/], {until}")
    if not state.ready:
        raise typer.Exit(1)


@live.command("arm")
def arm_live(why: Why) -> None:
    """Let the profile's account take new risk with real money, until the arming expires. Asks for its name."""
    from triplegain_pipelines.operations.live import arm, live_state

    with opened_database() as database:
        state = live_state(database, settings(), SystemClock())
        _show_switches(state.switches)
        if not state.ready:
            err.print(f"[bold red]error:[/] {state.account} cannot be armed: not every switch is on")
            raise typer.Exit(1)
        out.print(f"\nThis lets [bold]{state.account}[/] trade with [bold red]real money[/].")
        typed = _typed("Type the name of the account to confirm: ")
        arming = arm(database, settings(), confirmed=typed, why=why, by=operator(), clock=SystemClock())
    out.print(f"{arming.account} is armed until {arming.expires_at:%Y-%m-%d %H:%M} UTC")


@live.command("disarm")
def disarm_live(
    why: Why,
    account: Annotated[str | None, typer.Option(help="Account; all that are armed if left out.")] = None,
) -> None:
    """End the arming at once. Positions keep their stops, and can still be closed."""
    from triplegain_pipelines.operations.live import disarm

    with opened_database() as database:
        ended = disarm(database, account, why=why, by=operator(), clock=SystemClock())
    out.print(f"disarmed: {', '.join(ended)}" if ended else "nothing was armed")


@credentials.command("add")
def add_key(venue: Venue, purpose: For, environment: In = None) -> None:
    """Store a key. It is asked for, or read from stdin: the key on the first line, the secret on those after it."""
    from triplegain_pipelines.operations.credentials import add, ask_venue

    use, own = _use(venue, purpose, environment), settings()
    own.venues.of(venue)
    keys = read_keys(use)
    with opened_database() as database:
        stored = add(database, own, use, keys, by=operator(), clock=SystemClock(), ask=ask_venue(own))
    _tell_stored(stored)


@credentials.command("rotate")
def rotate_key(
    venue: Annotated[str | None, typer.Argument(help="Venue: kraken.")] = None,
    purpose: Annotated[Purpose | None, typer.Argument(help="watch or trade.")] = None,
    environment: In = None,
    master: Annotated[bool, typer.Option("--master", help="Change the master key that seals all others.")] = False,
) -> None:
    """Put a new key in the place of the old one, or change the master key. Nothing has to be stopped for it."""
    from triplegain_pipelines.operations.credentials import ask_venue, rotate, rotate_master

    own = settings()
    if master:
        with opened_database() as database:
            out.print(f"{rotate_master(database, own)} keys are sealed with the new master key")
        return
    if venue is None or purpose is None:
        msg = "say which key: 'triplegain credentials rotate kraken trade', or --master"
        raise InputError(msg)
    use = _use(venue, purpose, environment)
    keys = read_keys(use)
    with opened_database() as database:
        stored = rotate(database, own, use, keys, by=operator(), clock=SystemClock(), ask=ask_venue(own))
    _tell_stored(stored)
    out.print("take the old key back at the venue now; every process takes the new one at its next use")


@credentials.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Show which keys are in force: never the keys."""
    from triplegain_pipelines.operations.credentials import stored_keys

    with opened_database() as database:
        stored = stored_keys(database)
    if as_json:
        print_json({"credentials": [_document(one) for one in stored]})
    elif not stored:
        out.print("no key is stored; 'triplegain credentials add kraken watch' stores one")
    else:
        _show_keys(stored)


@credentials.command("check")
def check_keys(as_json: AsJson = False) -> None:
    """Ask the venues what each key of this environment may do. Exit code 1 unless each may be used and was reached."""
    from triplegain_pipelines.operations.credentials import ask_venue, check, stored_keys

    own, found = settings(), []
    with opened_database() as database:
        for one in stored_keys(database):
            if one.use.environment != own.environment.deployment:
                continue
            try:
                done = check(database, own, one.use, SystemClock(), ask_venue(own))
                found.append((done.credential, done.refused))
            except TripleGainError as error:  # one venue that is down must not hide the others
                found.append((one, str(error)))
    if as_json:
        print_json({"credentials": [_document(one) | {"refused": refused} for one, refused in found]})
    else:
        _show_keys([one for one, _ in found])
        for one, refused in found:
            if refused:
                err.print(f"[bold red]refused:[/] {one.use.venue} {one.use.purpose}: {escape(refused)}", soft_wrap=True)
    if any(refused for _, refused in found):
        raise typer.Exit(1)


@credentials.command("remove")
def remove_key(venue: Venue, purpose: For, environment: In = None) -> None:
    """Take a key out of force and forget it."""
    from triplegain_pipelines.operations.credentials import remove

    with opened_database() as database:
        removed = remove(database, _use(venue, purpose, environment), SystemClock())
    out.print(f"removed {removed.fingerprint}; take it back at the venue too")


def read_keys(use: Use) -> Keys:
    """The keys of a use, asked for without showing what is typed, or from stdin where that is no terminal.

    Raises:
        InputError: one is empty, or holds what no venue's key holds.
    """
    if sys.stdin.isatty():
        err.print(f"the {use.purpose} key of {use.venue} for {use.environment}; what you type is not shown")
        api_key, secret = getpass.getpass("key: "), getpass.getpass("secret: ")
        secret = secret.replace("\\n", "\n")  # a key in PEM, pasted as the venue's file has it
    else:
        api_key, _, secret = sys.stdin.read().partition("\n")
    api_key, secret = api_key.strip(), secret.strip()
    lines = secret.splitlines()
    plain = all(line.isascii() and line.isprintable() and line for line in (api_key, *lines))
    if not api_key or not secret or not plain or " " in api_key:
        msg = "a key and a secret are needed, of printable characters: the key on the first line, the secret after it"
        raise InputError(msg)
    return Keys(api_key, secret)


def _typed(question: str) -> str:
    """What a person types at a terminal; a script may not confirm."""
    if not sys.stdin.isatty():
        msg = "arming is confirmed by a person at a terminal; run it there"
        raise InputError(msg)
    return input(question).strip()


def _use(venue: str, purpose: Purpose, environment: Deployment | None) -> Use:
    return Use(environment or settings().environment.deployment, venue, purpose)


def _tell_stored(stored: Credential) -> None:
    use = stored.use
    out.print(f"stored {stored.fingerprint}: the {use.purpose} key of {use.venue} for {use.environment}")
    if stored.permissions is None:
        err.print(
            f"[yellow]{use.venue} could not be reached[/], so the key is unchecked and is not used; "
            "'triplegain credentials check' asks again",
            soft_wrap=True,
        )


def _show_switches(found: list[Switch]) -> None:
    grid = Table.grid(padding=(0, 2))
    for switch in found:
        sign = "[green]on[/]" if switch.on else "[bold red]off[/]"
        grid.add_row(sign, switch.name, escape(switch.detail) + ("" if switch.on else f"\n→ {escape(switch.turn_on)}"))
    out.print(grid)


def _show_keys(stored: list[Credential]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        *(f"[dim]{name}[/]" for name in ("venue", "environment", "purpose", "key", "may", "stored", "age", "checked"))
    )
    now = SystemClock().now()
    for one in stored:
        checked = f"{one.checked_at:%Y-%m-%d %H:%M}" if one.checked_at else "never"
        age = f"{(now - one.stored_at).days} days"
        may = _may(one)
        row = (one.use.venue, one.use.environment, one.use.purpose, one.fingerprint, may)
        grid.add_row(*row, f"{one.stored_at:%Y-%m-%d %H:%M}", age, checked)
    out.print(grid)


def _may(stored: Credential) -> str:
    if stored.permissions is None:
        return "unchecked"
    named = {
        "read": stored.permissions.can_read,
        "trade": stored.permissions.can_trade,
        "withdraw": stored.permissions.can_withdraw,
    }
    return ", ".join(f"{name}?" if can is None else name for name, can in named.items() if can is not False)


def _document(stored: Credential) -> dict[str, object]:
    now = SystemClock().now()
    return {
        "venue": stored.use.venue,
        "environment": stored.use.environment,
        "purpose": stored.use.purpose,
        "fingerprint": stored.fingerprint,
        "may": _may(stored),
        "stored_at": stored.stored_at,
        "stored_by": stored.stored_by,
        "age_days": (now - stored.stored_at).days,
        "checked_at": stored.checked_at,
    }
