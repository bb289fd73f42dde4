"""Fixtures of tests in which an account trades."""

import pytest
from builders import TradingFloor, trading_floor
from scripted_venue import ScriptedVenue, at_scripted_venue

from triplegain_pipelines.store.database import Database


@pytest.fixture
def floor(database: Database) -> TradingFloor:
    """An account with its money, clock and prices, on paper until a venue takes its place."""
    return trading_floor(database)


@pytest.fixture
def venue(floor: TradingFloor) -> ScriptedVenue:
    """The floor's account at a venue that does what the test has scripted."""
    return at_scripted_venue(floor)
