"""Desks put together from settings: what they trade."""

from dataclasses import replace

import pytest
from builders import ACCOUNT, BTC, ETH
from guarded_floor import guarded_floor

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.operations.desks import session_desk
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


def test_a_symbol_that_left_the_profile_while_held_is_still_traded(database: Database) -> None:
    """X2: its levels would be held by nobody, and flattening would end in an error that says it is not traded."""
    guarded_floor(database, SystemClock()).enter(ETH)
    settings = load_settings(Environment(profile="demo"))
    session = Session(ACCOUNT, "simulated", (BTC,), replay=False, settings=settings, clock=SystemClock())
    assert tuple(session_desk(database, session).instruments) == (BTC, ETH)
    assert tuple(session_desk(database, replace(session, replay=True)).instruments) == (BTC,)
    assert tuple(session_desk(database, replace(session, account="another")).instruments) == (BTC,)
