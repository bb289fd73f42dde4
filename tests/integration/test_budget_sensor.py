"""The sensor that looks after the budget of the models' calls."""

from datetime import timedelta
from decimal import Decimal

import dagster as dg
import pytest

from sensors.budget import budget_sensor
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_budget import LONGEST_CALL
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store.budgets import open_reservations, reserve
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


def test_a_call_whose_process_died_is_booked_without_another_call(database: Database) -> None:
    """A6: looked after by nobody, it stood as under way, and nobody was told, until the next call was made."""
    settings, clock = load_settings(Environment(profile="demo")), SystemClock()
    session = Session("test", "simulated", ("BTC/USDT",), replay=False, settings=settings, clock=clock)
    long_ago = clock.now() - LONGEST_CALL - timedelta(minutes=1)
    with database.connection() as connection:
        lost = deterministic_id("call", "lost")
        assert reserve(connection, lost, "gpt", Decimal("0.01"), long_ago, settings.models.budget) is None
    context = dg.build_sensor_context(resources={"database": database, "session": session})
    result = budget_sensor(context)
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "1 calls were lost since the last look"
    with database.connection() as connection:
        assert open_reservations(connection) == []
