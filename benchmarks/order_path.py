"""Orders a second through the whole order path on paper, from the decision's row to the fill's; the goal is 200.

    .venv/bin/python benchmarks/order_path.py [DATABASE_URL]

Without a URL it starts an embedded PostgreSQL of its own in a temporary folder. Every decision runs through claim,
check_risk, submit and settle, each with its own transactions; an entry makes three orders, an exit one.
"""

import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from builders import BTC, START, decision, trading_floor
from own_database import fresh_database

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.execution.order_path import OrderPath

DECISIONS = 400


def main() -> None:
    """Print the figures."""
    with fresh_database() as database:
        floor = trading_floor(database, cash=Decimal(10_000_000))
        made = [
            decision(
                as_of=START + timedelta(seconds=number),
                action=Action.BUY if number % 2 == 0 else Action.CLOSE,
                valid=timedelta(hours=1),
            )
            for number in range(DECISIONS)
        ]
        floor.queue(*made)
        with OrderPath(floor.desk) as path:
            started, busy = monotonic_seconds(), time.process_time()
            for number, one in enumerate(made):
                floor.prices.prices[BTC] = Decimal(10_000 + 40 * number)  # every trade wins, so none is refused
                path.execute(one.decision_id)
            seconds, busy = monotonic_seconds() - started, time.process_time() - busy
        (orders,), (fills,) = floor.rows("SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM fills")
        sys.stdout.write(
            f"{DECISIONS} decisions, {orders} orders, {fills} fills in {seconds:.2f} s ({busy:.2f} s in this process)\n"
            f"{DECISIONS / seconds:.0f} decisions/s, {orders / seconds:.0f} orders/s\n"
        )


if __name__ == "__main__":
    main()
