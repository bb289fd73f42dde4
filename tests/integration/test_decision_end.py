"""When a decision counts as done: not before its position is protected, or closed again."""

import pytest
from builders import COSTS, decision, trading_floor

from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("refused", [Leg.STOP, None])
def test_a_decision_is_done_once_its_position_is_safe(database: Database, refused: Leg | None) -> None:
    """R5: a process that dies while a refused stop has to be made good must find the decision unfinished."""
    floor = trading_floor(database, costs=COSTS)
    made = decision()
    floor.queue(made)
    if refused:
        floor.broker.refuse.add(refused)
    found: list[tuple[str, str]] = []
    submit = floor.broker.submit

    def watched(intent, sent_at, expires_at):
        found.append((intent.leg, floor.rows("SELECT status FROM outbox")[0][0]))
        return submit(intent, sent_at, expires_at)

    floor.broker.submit = watched  # type: ignore[method-assign]
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    legs = [Leg.ENTRY, Leg.STOP, Leg.TAKE_PROFIT, *([Leg.EXIT] if refused else [])]
    assert found == [(leg, "CLAIMED") for leg in legs]
    assert floor.rows("SELECT status FROM outbox") == [("DONE",)]
