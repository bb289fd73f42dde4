"""The command `triplegain`. Each command prints for a person, or with --json one object for a program.

Nothing is computed here: a command prepares the home, calls one function and shows what came back.
"""

import gc
import signal
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.table import Table

from triplegain_pipelines import live_commands, orders_commands
from triplegain_pipelines.account_commands import breaker, mode, stop
from triplegain_pipelines.backtest_commands import backtest
from triplegain_pipelines.books_commands import deposit, journal, reconcile, withdraw
from triplegain_pipelines.budget_commands import budget
from triplegain_pipelines.console import (
    AsJson,
    err,
    opened_database,
    out,
    print_fields,
    print_json,
    print_tree,
    show_summary,
)
from triplegain_pipelines.data_commands import backfill, data, import_files, stream
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.errors import TripleGainError
from triplegain_pipelines.domain.secrets import without_secrets
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.leaderboard_commands import leaderboard
from triplegain_pipelines.operations.logs import protect_structured_logs
from triplegain_pipelines.operations.replay_plan import ReplayPlan
from triplegain_pipelines.parity_commands import parity
from triplegain_pipelines.rebalance_commands import rebalance
from triplegain_pipelines.recorded_commands import records
from triplegain_pipelines.rehearsal_commands import rehearse
from triplegain_pipelines.seats_commands import seats
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.study_commands import forks, optimise, parameters

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A crypto trading operation as a Dagster code location: evidence in, risk-checked orders out.",
)

app.command("import")(import_files)
for command in (
    backfill,
    data,
    stream,
    breaker,
    mode,
    stop,
    deposit,
    withdraw,
    reconcile,
    journal,
    rebalance,
    rehearse,
    parity,
    budget,
    seats,
    leaderboard,
    backtest,
    optimise,
    forks,
):
    app.command()(command)
app.add_typer(live_commands.live, name="live")
app.add_typer(records, name="records")
app.add_typer(parameters, name="parameters")
app.add_typer(live_commands.credentials, name="credentials")
app.add_typer(orders_commands.orders, name="orders")


def main() -> NoReturn:
    """Run the command; an error of ours is one clear line and exit code 1."""
    # Asked to stop, a command leaves by its exits, which stop the server that it started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # Libraries of hundreds of thousands of objects come in while a command works. At the interpreter's own threshold of
    # 700, to go through them over and over is a sixth of a replay.
    gc.set_threshold(20_000, 10, 10)
    protect_structured_logs()
    try:
        with without_secrets():
            app()
    except TripleGainError as error:
        err.print(f"[bold red]error:[/] {error}", soft_wrap=True)
        sys.exit(1)
    finally:
        gc.freeze()  # or the interpreter goes through everything once more at its end, for seconds
    sys.exit(0)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show what is installed, reachable and configured, and how to mend what is not."""
    from triplegain_pipelines.operations.doctor import State, examine

    findings = examine(settings())
    if as_json:
        print_json({"findings": [finding.document() for finding in findings]})
    else:
        signs = {State.GOOD: "[green]ok[/]", State.NOTE: "[yellow]note[/]", State.BAD: "[bold red]bad[/]"}
        grid = Table.grid(padding=(0, 2))
        for finding in findings:
            grid.add_row(
                signs[finding.state], finding.subject, finding.detail + (f"\n→ {finding.mend}" if finding.mend else "")
            )
        out.print(grid)
    if any(finding.state is State.BAD for finding in findings):
        raise typer.Exit(1)


@app.command()
def demo() -> None:
    """Replay the simulated market with the baseline seats and show what came of it. Needs no network and no key."""
    from triplegain_pipelines.operations.replay_plan import plan_demo

    with opened_database() as database:
        show_summary(replayed(database, plan_demo(settings())))


@app.command()
def replay(
    symbols: Annotated[str, typer.Option(help="Symbols with commas between them: BTC/USDT,ETH/USDT.")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")],
    end: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="First UTC day that is left out.")],
    venue: Annotated[str | None, typer.Option(help="Venue, where several have the symbols.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole graph over stored candles, paper execution included."""
    from triplegain_pipelines.operations.replay_plan import plan_archive_replay
    from triplegain_pipelines.store.candles import coverage

    with opened_database() as database:
        with database.connection() as connection:
            stored = coverage(connection)
        start, stop = (day.replace(tzinfo=UTC) for day in (first, end))
        wanted = [symbol.strip() for symbol in symbols.split(",")]
        plan = plan_archive_replay(settings(), stored, wanted, start, stop, SystemClock().now(), venue)
        summary = replayed(database, plan, quiet=as_json)
    if as_json:
        print_json(summary)
    else:
        show_summary(summary)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show every account: equity, positions, what stops it, orders of unknown outcome."""
    from triplegain_pipelines.execution.desk import LIVE, PAPER
    from triplegain_pipelines.execution.emergency import emergency_file
    from triplegain_pipelines.store.overview import read_overviews

    file = emergency_file(settings().home)
    with opened_database() as database, database.connection() as connection:
        overviews = {schema: read_overviews(connection, schema) for schema in (LIVE, PAPER)}
    accounts = [{"schema": schema} | one.document() for schema, found in overviews.items() for one in found]
    if as_json:
        print_json({"emergency_file": str(file) if file.exists() else None, "accounts": accounts})
        return
    if file.exists():
        out.print(f"[bold red]EMERGENCY STOP[/] of every account of this home: {file}", soft_wrap=True)
    if not accounts:
        out.print("no account yet; run 'make demo', 'make up' or 'triplegain replay'")
    for account in accounts:
        print_fields(account)


@app.command()
def report(
    hours: Annotated[int, typer.Option(min=1, help="How many hours, counted back from the account's newest mark.")],
    account: Annotated[str | None, typer.Option(help="Account; the one marked last if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the validation report of the last hours of an account."""
    from triplegain_pipelines.evaluation.report import report_document
    from triplegain_pipelines.operations.reporting import report_hours

    with opened_database() as database:
        written = report_hours(database, settings(), account, timedelta(hours=hours))
    if as_json:
        print_json(report_document(written.report) | {"report": str(written.path_html)})
        return
    out.print(written.report.summary)
    out.print(f"verdict [bold]{written.report.verdict}[/], {written.path_html}", soft_wrap=True)


@app.command()
def trace(order: Annotated[UUID, typer.Argument(help="Client order id.")], as_json: AsJson = False) -> None:
    """Show what led to an order: verdict, decision, forecasts with prompts and answers, snapshot, data and code."""
    from triplegain_pipelines.operations import audit

    with opened_database() as database:
        document = audit.trace(database, order).document()
    if as_json:
        print_json(document)
    else:
        print_tree(f"order {order}", document)


@app.command()
def verify(order: Annotated[UUID, typer.Argument(help="Client order id.")], as_json: AsJson = False) -> None:
    """Compute the decision behind an order again from what was stored, and compare."""
    from triplegain_pipelines.operations import audit

    with opened_database() as database:
        result = audit.verify(database, order)
    if as_json:
        print_json(result.document())
    else:
        for step in result.steps:
            out.print(
                f"{'[green]identical[/]' if step.identical else '[bold red]differs[/]  '}  {step.name}  {step.detail}"
            )
    if not result.identical:
        raise typer.Exit(1)


@app.command()
def guardian() -> None:
    """Guard the profile's account in the foreground: levels, emergency stop, unknown orders, heartbeats."""
    from triplegain_pipelines.operations.desks import session_desk
    from triplegain_pipelines.operations.session import Session
    from triplegain_pipelines.services.guardian import serve

    own = settings()
    profile = own.profile
    session = Session(profile.account, profile.venue, profile.symbols, replay=False, settings=own, clock=SystemClock())
    with opened_database() as database:
        serve(database, own, partial(session_desk, database, session))


@app.command()
def up() -> None:
    """Start PostgreSQL, MLflow and Dagster in the foreground; Ctrl-C stops them all."""
    from triplegain_pipelines.operations.installation import process_environment, revive_server, running_home
    from triplegain_pipelines.services.parts import service_parts, service_ports
    from triplegain_pipelines.services.supervisor import Supervisor, only_one, require_free_port

    own = settings()
    with only_one(own.home):
        for name, port in service_ports(own).items():
            require_free_port(name, port)
        with running_home(own) as urls:
            out.print(f"TripleGain, profile [bold]{own.environment.profile}[/], state in {own.home}", soft_wrap=True)
            if own.profile.simulator:
                err.print("  simulated market: collecting what happened since the last time")
                catch_up_market(Database(urls.triplegain))
            services = Supervisor(
                service_parts(own, urls),
                process_environment(own, urls),
                own.home / "logs",
                tend=partial(revive_server, own),
            )
            services.run(lambda part: out.print(f"  {part.name:<10} {part.address or 'running'}"))
    out.print("stopped")


def catch_up_market(database: Database) -> None:
    """Have the simulated market's history up to now."""
    from jobs.instance import busy_instance
    from jobs.market import catch_up
    from triplegain_pipelines.definitions import build_defs
    from triplegain_pipelines.store.candles import stored_range

    profile = settings().profile
    with database.connection() as connection:
        stored = stored_range(connection, profile.venue, profile.symbols[-1], Timeframe.M1)
    database.close()
    with busy_instance() as instance:
        catch_up(build_defs(), instance, stored[1] if stored else None, SystemClock().now())


def replayed(database: Database, plan: ReplayPlan, *, quiet: bool = False) -> dict[str, Any]:
    """Run a replay's jobs on the home's Dagster instance, telling each finished step, and summarise it."""
    from jobs.instance import busy_instance
    from jobs.replay import run_replay
    from triplegain_pipelines.definitions import build_defs
    from triplegain_pipelines.execution.desk import PAPER
    from triplegain_pipelines.operations.reporting import validate_account
    from triplegain_pipelines.operations.session import Session
    from triplegain_pipelines.operations.summary import summarise

    def tell(step: str, seconds: float) -> None:
        err.print(f"  [green]✓[/] {step.replace('_', ' '):<24}[dim]{seconds:6.1f} s[/]")

    if not quiet:
        err.print(
            f"replaying {plan.first} to {plan.last}: {', '.join(plan.symbols)} of {plan.venue}, account {plan.account}"
        )
    with busy_instance() as instance, err.status("at work"):
        run_replay(build_defs(), instance, plan, (lambda *_: None) if quiet else tell)
    session = Session(plan.account, plan.venue, plan.symbols, replay=True, settings=settings(), clock=SystemClock())
    return summarise(database, PAPER, session, validate_account(database, session, plan.start, plan.end))
