"""The projection into MLflow where something goes wrong: outages, breaks, a lost database, two at once."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import Server
from tracked_windows import gpt_board, make_board, make_decision, make_version, make_window, only_pictures
from tracking_stores import Tracking, content, copied, empty_tracking, registry

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.evaluation.tracking_client import TrackingClient
from triplegain_pipelines.evaluation.tracking_models import registered_models
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def empty(postgres: Server) -> Iterator[Database]:
    """What every other database of this file is a copy of."""
    with empty_tracking(postgres, __name__) as database:
        yield database


@pytest.fixture(scope="module")
def tracking(postgres: Server, empty: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """Where the tests of this file project to."""
    with copied(postgres, empty) as uri:
        yield Tracking(uri, tmp_path_factory.mktemp("artifacts"))


@pytest.mark.slow
def test_a_lost_database_is_made_again_with_the_same_content(
    tracking: Tracking, postgres: Server, empty: Database, tmp_path: Path
) -> None:
    """Rule 9: PostgreSQL is the record; what MLflow shows must not depend on what was projected before."""
    windows = [
        make_window("seventh", decisions=(make_decision(1),)),
        only_pictures(make_window("eighth"), "equity.png"),
    ]
    models = registered_models(
        make_board("seventh", simulated=False),
        [make_version("seventh_seat", f"openai/{number}", day=number) for number in (1, 2, 3)],
    )
    for count in (1, 3):  # versions came one after the other
        earlier = replace(models[0], versions=models[0].versions[:count])
        tracking.project(windows[0], (earlier,))
    with copied(postgres, empty) as uri:
        again = Tracking(uri, tmp_path)
        for window in reversed(windows):
            again.project(window, models)
            tracking.project(window, models)
        for account in ("seventh", "eighth"):
            assert content(again, account) == content(tracking, account)
        assert registry(again, "seventh_seat") == registry(tracking, "seventh_seat")


@pytest.mark.slow
def test_what_was_broken_off_is_completed_by_the_next_projection(
    postgres: Server, empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 9: an outage in the middle must not leave half a window that passes for a whole one."""
    from mlflow.tracing.client import TracingClient

    decisions = (make_decision(1), make_decision(2))
    before, after = (
        only_pictures(make_window("broken", decisions=decisions[:1]), "equity.png"),
        only_pictures(make_window("broken", gpt_board("broken", 0.2), decisions), "equity.png"),
    )

    def project(folder: str, broken: tuple[type, str] | None) -> dict[str, Any]:
        with copied(postgres, empty) as uri:
            tracking = Tracking(uri, tmp_path / folder)
            for window in (before, after):
                if broken:
                    with monkeypatch.context() as patched:
                        patched.setattr(*broken, outage)
                        with pytest.raises(TransientError, match="the server went away"):
                            tracking.project(window)
                assert tracking.project(window).changed
            return content(tracking, "broken")

    def outage(*_: object, **__: object) -> None:
        msg = "the server went away"
        raise ConnectionError(msg)

    whole = project("whole", None)
    assert len(whole["traces"]) == 2
    for broken in ((TrackingClient, "log_daily"), (TracingClient, "log_spans")):
        assert project(broken[1], broken) == whole, broken[1]


@pytest.mark.slow
def test_two_projections_at_once_make_everything_once(tracking: Tracking) -> None:
    """Rule 9: a schedule and a person may ask at the same moment, and both would find nothing there."""
    window = only_pictures(make_window("twice", decisions=(make_decision(1),)))
    models = registered_models(make_board("twice"), [make_version("twice_seat", "openai/one")])
    with ThreadPoolExecutor(2) as pool:
        projected = list(pool.map(lambda _: tracking.project(window, models), range(2)))
    assert sorted(one.changed for one in projected) == [False, True]
    assert len(tracking.runs("twice")) == len(window.nested) + 1
    assert set(tracking.versions("twice_seat")) == {"1"}


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql://nobody:secret@127.0.0.1:1/mlflow"])
def test_an_outage_is_a_transient_error_within_seconds(uri: str, tmp_path: Path) -> None:
    """Rule 9: at its defaults one call to a server that is down blocks for four minutes."""
    began = monotonic_seconds()
    with pytest.raises(TransientError) as caught:
        Tracking(uri, tmp_path).project(make_window("outage"))
    assert monotonic_seconds() - began < 10
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_takes_calls_and_never_answers_is_given_up(tmp_path: Path) -> None:
    """Rule 9: a server that hangs is worse than one that is down, for nothing refuses the call."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = monotonic_seconds()
        with pytest.raises(TransientError, match="MLflow did not take the projection"):
            Tracking(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path).project(make_window("silent"))
        assert monotonic_seconds() - began < 15
