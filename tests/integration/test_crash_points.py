"""A process that dies after any commit, its own or the venue's: the one that goes on reaches the same end.

A death before a commit leaves the same database as one right after the commit before it, so these are all there are.
"""

import os
from datetime import timedelta

import numpy as np
import pytest
from builders import (
    ACCOUNT,
    BTC,
    ETH,
    START,
    Killed,
    MortalDatabase,
    decision,
    forget_trading,
    store_decisions,
    walk_plan,
    wandering,
)

from triplegain_pipelines.backtest.walk import WalkPlan, walk_history
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.events import verify_chain
from triplegain_pipelines.store.results import result_hash

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_LAWS = {
    "an order was filled beyond its quantity": """
        SELECT 1 FROM orders JOIN intents USING (client_order_id) WHERE filled_quantity > quantity""",
    "two entries of one decision were filled": """
        SELECT decision_id FROM orders JOIN intents USING (client_order_id)
        WHERE leg = 'ENTRY' AND filled_quantity > 0 GROUP BY decision_id HAVING count(*) > 1""",
    "a fill of the venue is missing in the books": """
        SELECT trade_id FROM paper_venue.fills EXCEPT SELECT trade_id FROM fills""",
    "the venue has an order that the books do not know": """
        SELECT client_order_id FROM paper_venue.orders EXCEPT SELECT client_order_id FROM orders""",
    "books and venue disagree on an order": """
        SELECT 1 FROM orders o JOIN paper_venue.orders v USING (client_order_id) WHERE o.state <> v.state""",
    "a position is not what was bought and sold": """
        SELECT symbol FROM positions p WHERE quantity <>
            (SELECT amount FROM balances b WHERE b.currency = split_part(p.symbol, '/', 1))""",
    "a position has not exactly one stop for all of it": """
        SELECT symbol FROM positions p WHERE quantity IS DISTINCT FROM
            (SELECT sum(i.quantity - o.filled_quantity) FROM orders o JOIN intents i USING (client_order_id)
             WHERE i.symbol = p.symbol AND i.leg = 'STOP' AND o.state = 'OPEN')""",
    "a decision was left half done": "SELECT 1 FROM outbox WHERE status IN ('PENDING', 'CLAIMED')",
}


@pytest.fixture
def plan(database: Database) -> WalkPlan:
    """Two hours with entries, partial fills, stops, exits, and two symbols at once."""
    end = START + timedelta(hours=2)
    frames = {BTC: wandering(START, 200, 10_000.0, 5), ETH: wandering(START, 200, 1_000.0, 6)}
    actions = {BTC: "BUY CLOSE BUY SELL", ETH: "BUY HOLD BUY HOLD"}
    decisions = [
        decision(
            symbol,
            START + number * timedelta(minutes=30) + timedelta(seconds=10),
            Action(action),
            atr=price / reach,
            price=price,
        )
        for symbol, price, reach in ((BTC, 10_000.0, 100), (ETH, 1_000.0, 400))
        for number, action in enumerate(actions[symbol].split())
    ]
    store_decisions(database, decisions)
    return walk_plan(frames, decisions, START, end, fill_rate=0.5)


def walked(url: str, plan: WalkPlan, commits: int) -> int:
    """Walk until dead or done; the number of commits that were left."""
    mortal = MortalDatabase(url, commits)
    try:
        walk_history(mortal, plan)
    except Killed:
        pass
    finally:
        mortal.close()
    return mortal.left


def assert_sound(database: Database, plan: WalkPlan, expected: str | None, where: str) -> str:
    with database.connection() as connection:
        digest = result_hash(connection, "paper_trading", ACCOUNT, plan.replay.ends_at)
        assert verify_chain(connection, "paper_trading", ACCOUNT).broken_at is None
        connection.execute("SET LOCAL search_path TO paper_trading, ops, public")
        for law, query in _LAWS.items():
            assert connection.execute(query.encode()).fetchall() == [], f"{law}, killed {where}"
    assert expected in {None, digest}, f"another result, killed {where}"
    return digest


def test_killed_after_any_commit_and_started_again(database: Database, plan: WalkPlan) -> None:
    """Issue point 2, X3: the same end whatever dies when, nothing twice and nothing lost."""
    whole = 1_000_000 - walked(database.url, plan, 1_000_000)
    expected = assert_sound(database, plan, None, "never")
    assert whole > 60
    # Every third commit; `make soak` takes every one.
    for commits in range(1, whole, int(os.environ.get("TRIPLEGAIN_CRASH_STEP", "3"))):
        forget_trading(database)
        assert walked(database.url, plan, commits) == 0
        walk_history(database, plan)
        assert_sound(database, plan, expected, f"after commit {commits} of {whole}")


def test_killed_again_and_again(database: Database, plan: WalkPlan) -> None:
    """X3: a process that dies while it mends what another left must not make it worse."""
    walk_history(database, plan)
    expected = assert_sound(database, plan, None, "never")
    generator = np.random.default_rng(3)
    for number in range(3):
        forget_trading(database)
        deaths = 0
        while walked(database.url, plan, int(generator.integers(3, 30))) <= 0:
            deaths += 1
            assert deaths < 500
        assert_sound(database, plan, expected, f"{deaths} times in round {number}")
