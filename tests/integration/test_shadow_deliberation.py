"""Shadow pools beside real decisions: stored in one piece with them, and again the same."""

from datetime import timedelta

import dagster as dg
import pytest
from builders import ACCOUNT, BTC
from decided_floor import AS_OF, CONFIGURED, DECIDED_AT, MARKET, deliver, market_minutes

from assets.decisions import consensus_decisions
from triplegain_pipelines.agents.evidence import assess
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.shadows import ShadowMethod
from triplegain_pipelines.operations import deliberation
from triplegain_pipelines.operations.deliberation import decide_on, settle_outcomes
from triplegain_pipelines.operations.evidence import gather
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decisions
from triplegain_pipelines.store.signals import save_regime_signals, save_sentiment_signals, save_technical_signals
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
START, END = DECIDED_AT - 11 * HOUR, DECIDED_AT + HOUR
SESSION = Session(ACCOUNT, MARKET, (BTC,), replay=True, settings=CONFIGURED, clock=ReplayClock(AS_OF))


@pytest.fixture
def observed(database: Database) -> Database:
    """A database with twelve hours of evidence and the outcomes that had settled."""
    deliver(database, market_minutes())
    snapshots = gather(database, SESSION, BTC, START, END).snapshots
    signals = {one.snapshot_id: assess(one) for one in snapshots}
    with database.connection() as connection:
        save_snapshots(connection, snapshots)
        save_technical_signals(connection, TECHNICAL_VERSION, {key: one.technical for key, one in signals.items()})
        save_regime_signals(connection, REGIME_VERSION, {key: one.regime for key, one in signals.items()})
        save_sentiment_signals(connection, SENTIMENT_VERSION, {key: one.sentiment for key, one in signals.items()})
    settle_outcomes(database, SESSION, START, END)
    return database


def test_every_decision_has_its_shadows(observed: Database) -> None:
    """A5: a decision without shadows is missing from every comparison; a rerun must find the very same ones."""
    made = decide_on(observed, SESSION, START, END)
    assert len(made.decisions) == 12
    assert [one.decision_id for one in made.shadows] == [one.decision_id for one in made.decisions]
    for decision, shadow in zip(made.decisions, made.shadows, strict=True):
        assert list(shadow.forecasts) == list(ShadowMethod)
        assert (shadow.unanimous, shadow.agreement, shadow.disagreement) == (
            decision.unanimous,
            decision.agreement,
            decision.disagreement,
        )
    # Hourly decisions settle after four hours, their minute and the grace: the last knows those of five hours before.
    assert [one.settled for one in made.shadows] == [max(0, number - 4) for number in range(12)]
    assert made.shadows[-1].forecasts[ShadowMethod.HEDGE] != made.shadows[0].forecasts[ShadowMethod.HEDGE]
    assert decide_on(observed, SESSION, START, END) == made


def test_hours_one_by_one_give_the_same_shadows(observed: Database) -> None:
    """X3: live, each hour is decided by itself on what the database knows; a backfill must come to the same."""
    single = [decide_on(observed, SESSION, START + n * HOUR, START + (n + 1) * HOUR) for n in range(12)]
    stored = [one for made in single for one in made.shadows]
    whole = Session("backfill", MARKET, (BTC,), replay=True, settings=CONFIGURED, clock=ReplayClock(AS_OF))
    again = decide_on(observed, whole, START, END).shadows
    assert [(one.panel, one.settled, one.forecasts) for one in again] == [
        (one.panel, one.settled, one.forecasts) for one in stored
    ]


def test_decisions_and_shadows_are_stored_together(observed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """X3: killed between the two, a decision would stand for ever without what it is compared with."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deliberation, "save_shadows", killed)
    with pytest.raises(KeyboardInterrupt):
        decide_on(observed, SESSION, START, END)
    with observed.connection() as connection:
        assert read_decisions(connection, ACCOUNT, START, END) == []


def test_a_person_sees_the_shadows_on_the_asset(observed: Database) -> None:
    """D5: agreement, the worth of the voters and the other ways of pooling stand where the decisions are looked at."""
    result = dg.materialize(
        [consensus_decisions],
        partition_key=f"{START:%Y-%m-%d}",
        resources={"database": observed, "session": SESSION, "desk": None},
    )
    [shown] = result.asset_materializations_for_node("consensus_decisions")
    count = shown.metadata["dagster/row_count"].value
    table = shown.metadata["other ways of pooling (not acted on)"].value
    assert [row.data["method"] for row in table.records] == [method.value for method in ShadowMethod]
    assert {sum(int(row.data[action.value]) for action in Action) for row in table.records} == {count}
    assert 0 <= float(shown.metadata["agreement"].value) <= 1
    assert "too few to tell how alike they err" in shown.metadata["newest in words"].value
