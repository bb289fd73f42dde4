"""The commands `triplegain optimise`, `parameters` and `forks`: better parameters, and who lets them be used."""

from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from triplegain_pipelines.backtest_commands import End, First, Venue, progress_bar
from triplegain_pipelines.console import AsJson, opened_database, operator, out, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.settings import settings

if TYPE_CHECKING:
    from triplegain_pipelines.store.strategy_parameters import StoredParameters

parameters = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Parameters that studies proposed, and which of them are used.",
)

_Reason = Annotated[str, typer.Option(help="Why; it is kept with your name.")]
_Id = Annotated[UUID, typer.Argument(help="As 'triplegain parameters list' shows it.")]


def optimise(
    strategy: Annotated[str, typer.Option(help="One strategy; 'triplegain backtest --help' names them.")],
    symbol: Annotated[str, typer.Option(help="One symbol: BTC/USDT.")],
    first: First,
    end: End,
    timeframe: Annotated[Timeframe, typer.Option(help="Length of the bars.")] = Timeframe.H1,
    method: Annotated[str, typer.Option(help="grid, sobol (evenly spread) or tpe (learns as it goes).")] = "grid",
    trials: Annotated[
        int, typer.Option(min=1, help="Sets of parameters in each fold; a grid tries all of its own.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    venue: Venue = None,
    as_json: AsJson = False,
) -> None:
    """Search for better parameters by a walk forward, and say how far the result can be luck.

    Stopped at any moment, it goes on where it was when it is started again. What it proposes is used only after
    'triplegain parameters approve'.
    """
    from triplegain_pipelines.operations.backtests import venue_of
    from triplegain_pipelines.operations.compiling import COMPILING, compile_sweeps
    from triplegain_pipelines.operations.optimising import StudyPlan, optimise_parameters

    own = settings()
    with opened_database() as database, progress_bar() as bar:
        plan = StudyPlan(
            strategy=strategy,
            venue=venue or venue_of(database, [symbol]),
            symbol=symbol,
            timeframe=timeframe,
            start=first.replace(tzinfo=UTC),
            end=end.replace(tzinfo=UTC),
            method=method,
            trials=trials,
            seed=seed,
        )
        task = bar.add_task(COMPILING, total=None)
        compile_sweeps([strategy])
        bar.update(task, description=f"{strategy} on {symbol}")
        found = optimise_parameters(
            database, own, plan, SystemClock(), lambda done, planned: bar.update(task, completed=done, total=planned)
        )
    conclusion = found.study.conclusion or {}
    if as_json:
        print_json({"study_id": str(found.study.study_id), "parameters_id": str(found.parameters_id), **conclusion})
        return
    out.print(f"[bold]{escape(conclusion['words'])}[/]", soft_wrap=True)
    shown = conclusion["out_of_sample"]
    grid = Table.grid(padding=(0, 2))
    grid.add_row("in sample", f"yearly Sharpe ratio {_number(conclusion['in_sample']['sharpe'])}, where it was chosen")
    grid.add_row(
        "out of sample", f"{_number(shown['sharpe'])} over {shown['days']:,} days and {shown['trades']:,} trades"
    )
    grid.add_row("trials", f"{shown['trials']:,} of this strategy on this market so far, this study's among them")
    if found.parameters_id is not None:
        grid.add_row("proposed", f"{_words(conclusion['proposed']['parameters'])}")
        knowing = "" if found.study.verdict == "significant" else " --although-not-significant"
        grid.add_row("", f"use it: triplegain parameters approve {found.parameters_id} --reason '…'{knowing}")
    out.print(grid)


@parameters.command("list")
def list_parameters(as_json: AsJson = False) -> None:
    """Show what was proposed, approved and retired, by whom and why."""
    from triplegain_pipelines.store import strategy_parameters

    with opened_database() as database, database.connection() as connection:
        found = strategy_parameters.history(connection)
    if as_json:
        print_json({"parameters": [asdict(one) for one in found]})
        return
    if not found:
        out.print("no study has proposed parameters yet; run 'triplegain optimise'")
        return
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("id", "strategy", "market", "state", "parameters", "evidence"):
        grid.add_column(name)
    for one in found:
        state = one.state if one.approved_although is None else f"{one.state} although {one.approved_although}"
        grid.add_row(str(one.parameters_id), one.strategy, _market(one), state, _words(one.parameters), one.verdict)
    out.print(grid)


@parameters.command()
def approve(
    parameters_id: _Id,
    reason: _Reason,
    although_not_significant: Annotated[
        bool, typer.Option("--although-not-significant", help="Use them although what they showed may be luck.")
    ] = False,
) -> None:
    """Let proposed parameters be used from now on, in place of those that are used now."""
    from triplegain_pipelines.operations.studies import approve_parameters, laboratory_of

    with opened_database() as database:
        laboratory = laboratory_of(settings(), database, SystemClock())
        used = approve_parameters(
            laboratory,
            parameters_id,
            by=operator(),
            reason=reason,
            although_not_significant=although_not_significant,
        )
    out.print(f"{used.strategy} on {_market(used)} now runs with {_words(used.parameters)}")
    if used.approved_although is not None:
        out.print(f"[yellow]their verdict is '{escape(used.approved_although)}': what they showed may be luck[/]")


@parameters.command()
def retire(parameters_id: _Id, reason: _Reason) -> None:
    """Let parameters be used no more; the strategy goes back to its defaults."""
    from triplegain_pipelines.operations.studies import laboratory_of, retire_parameters

    with opened_database() as database:
        laboratory = laboratory_of(settings(), database, SystemClock())
        retired = retire_parameters(laboratory, parameters_id, by=operator(), reason=reason)
    out.print(f"{retired.strategy} on {_market(retired)} goes back to its defaults")


def forks(as_json: AsJson = False) -> None:
    """Show the studies with the forks of the data that their trials worked on, from creation to end."""
    from triplegain_pipelines.operations.optimising import fork_lives

    with opened_database() as database:
        lives = fork_lives(database)
    if as_json:
        print_json({"studies": lives})
        return
    if not lives:
        out.print("no study has forked the data yet; run 'triplegain optimise'")
        return
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in lives[0]:
        grid.add_column(name.replace("_", " "))
    for life in lives:
        grid.add_row(*(str(value) for value in life.values()))
    out.print(grid)


def _market(one: "StoredParameters") -> str:
    return f"{one.symbol} {one.timeframe} at {one.venue}"


def _words(chosen: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in chosen.items())


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
