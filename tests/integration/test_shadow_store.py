"""Shadow pools in the database."""

from dataclasses import replace

import psycopg
import pytest
from seats_data import AS_OF
from shadow_cases import HOUR, at_hour, random_cases, shadowed

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.shadow_pools import read_panels, read_shadows, save_shadows
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

CASES, SETTLED = random_cases(140)
SHADOWS = shadowed(CASES, SETTLED)
FAR = at_hour(1000)


@pytest.fixture
def decided(connection):
    """A connection to a database that holds the decisions and not yet their shadows."""
    save_snapshots(connection, [one.snapshot for one in CASES])
    save_decisions(connection, [one.decision for one in CASES])
    return connection


def test_shadows_come_back_as_they_were(decided):
    """A5: a chance that lost a bit would learn something else in the next run; abstentions stay abstentions."""
    assert save_shadows(decided, SHADOWS) == len(SHADOWS)
    assert read_shadows(decided, "demo", AS_OF, FAR) == SHADOWS
    assert read_shadows(decided, "other", AS_OF, FAR) == []
    assert any(None in one.panel.p_up for one in SHADOWS)
    assert SHADOWS[-1].effective_voters is not None


def test_storing_twice_changes_nothing(decided):
    """X3: a rerun, also with other code, neither doubles nor rewrites what was known then."""
    save_shadows(decided, SHADOWS)
    other = [replace(one, words="rewritten", settled=0) for one in SHADOWS]
    assert save_shadows(decided, other) == 0
    assert save_shadows(decided, SHADOWS) == 0
    assert save_shadows(decided, []) == 0
    assert read_shadows(decided, "demo", AS_OF, FAR) == SHADOWS


def test_what_is_stored_continues_a_run(decided):
    """X3: a restart learns from the database what one run knew in memory, to the last bit."""
    early = [one for one in SHADOWS if one.panel.as_of < at_hour(70)]
    save_shadows(decided, early)
    history = read_panels(decided, "demo", at_hour(70))
    assert history == [one.panel for one in early]
    assert shadowed(CASES[len(early) :], SETTLED, history) == SHADOWS[len(early) :]
    assert read_panels(decided, "demo", AS_OF) == []


def test_a_decision_of_other_forecasts_gets_no_foreign_shadows(decided):
    """DESIGN 3.7: the first decision stands; shadows of other answers beside it would be false evidence."""
    foreign = replace(SHADOWS[0], forecast_ids=(deterministic_id("forecast", "another"),))
    unknown = replace(SHADOWS[1], decision_id=deterministic_id("decision", "not stored"))
    assert save_shadows(decided, [foreign, unknown]) == 0
    assert read_shadows(decided, "demo", AS_OF, AS_OF + HOUR) == []


def test_half_a_forecast_is_refused(decided):
    """A5: a chance without log-odds would be scored in one table and missing in another."""
    save_shadows(decided, SHADOWS[:1])
    with pytest.raises(psycopg.errors.CheckViolation):
        decided.execute("UPDATE research.shadow_pools SET log_odds = NULL")
