"""`triplegain rehearse`: live trading at an exchange on loopback under faults and kills, and the judgement on it."""

import json
from dataclasses import replace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.rehearsal import run
from triplegain_pipelines.rehearsal.laws import LAWS, Breach
from triplegain_pipelines.rehearsal.run import VENUES, RehearsalPlan, Rehearsed, rehearse
from triplegain_pipelines.rehearsal_commands import rehearse as command
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store.database import Database

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def rehearsed(database: Database, plan: RehearsalPlan) -> Rehearsed:
    database.close()  # no connection may be open when a process is forked
    return rehearse(database.url, load_settings(Environment(profile="live"), CONFIG), plan)


@pytest.mark.parametrize("venue", VENUES)
def test_everything_is_survived_at_each_venue(database: Database, venue: str) -> None:
    """T2, issue point 1: with faults on and the trader killed, books and exchange agree to the last digit."""
    ended = rehearsed(database, RehearsalPlan(venue, minutes=6, seed=11, share=0.2))
    document = json.dumps(ended.document(), indent=1)
    assert ended.settled, document
    assert ended.breaches == (), document
    assert sum(ended.faults.values()) > 0, document
    assert ended.survived.decisions, document
    assert ended.survived.reconciliations > 0, document


def test_an_undisturbed_rehearsal_trades(database: Database) -> None:
    """T2: a rehearsal in which nothing is ever bought would prove nothing and look as if it did."""
    ended = rehearsed(database, RehearsalPlan("binance", minutes=6, seed=11, share=0.0))
    assert ended.holds, ended.document()
    assert ended.faults == {}
    assert ended.survived.fills > 2
    assert ended.survived.orders["ENTRY FILLED"] > 0


def test_there_is_no_rehearsal_at_an_unknown_venue() -> None:
    """T2: a misspelt venue is said at once, with those there are."""
    with pytest.raises(InputError, match="kraken, binance, coinbase"):
        RehearsalPlan("krakn", minutes=1, seed=1, share=0.2)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(command)
    return made


def test_a_broken_law_ends_the_command_with_an_error(
    app: typer.Typer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2: a rehearsal that fails must not pass for a good one in a script."""
    good = rehearsed(database, RehearsalPlan("kraken", minutes=1, seed=1, share=0.0))
    bad = replace(good, breaches=(Breach("every trade is booked exactly once", "one is not"),))
    for ended, code in ((good, 0), (bad, 1)):
        monkeypatch.setattr(run, "rehearse", lambda *_, ended=ended: ended)
        for arguments in ([], ["--json"]):
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == code, result.output
            if arguments:
                printed: dict[str, Any] = json.loads(result.stdout)
                assert printed["holds"] is (code == 0)
                assert printed["laws"] == len(LAWS)
