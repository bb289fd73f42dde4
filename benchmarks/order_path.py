"""Orders a second through the whole order path on paper, from the decision's row to the fill's; the goal is 200.

    .venv/bin/python benchmarks/order_path.py [DATABASE_URL]

Without a URL it starts an embedded PostgreSQL of its own in a temporary folder. Every decision runs through claim,
check_risk, submit and settle; an entry makes three orders, an exit one, and every one of them is traded. The time of
the guard's ticks in between is not counted, nor that of queueing the decisions until the next tick.
"""

import sys
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from builders import BTC, START, decision, trading_floor
from own_database import fresh_database

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.outbox import OutboxStatus

DECISIONS = 400  # one a second
TICK = 20
BOUGHT, SOLD = Decimal(10_000), Decimal(10_100)  # every trade wins, so none is refused


def main() -> None:
    """Print the figures."""
    with fresh_database() as database:
        floor = trading_floor(database, cash=Decimal(100_000))
        made = [
            decision(
                as_of=START + timedelta(seconds=number),
                action=Action.BUY if number % 2 == 0 else Action.CLOSE,
                valid=timedelta(hours=1),
            )
            for number in range(DECISIONS)
        ]
        others = Database(database.url)  # decisions are made in time, and by other processes
        council = replace(floor, database=others, desk=replace(floor.desk, database=others))
        took: list[float] = []
        with OrderPath(floor.desk) as path:
            busy = 0.0
            for number, one in enumerate(made):
                floor.prices.prices[BTC] = BOUGHT if one.action is Action.BUY else SOLD
                floor.clock.advance_to(one.as_of)
                if number % TICK == 0:
                    council.queue(*made[number : number + TICK])
                    floor.beat()
                started, worked = monotonic_seconds(), time.process_time()
                status = path.execute(one.decision_id)
                took.append(monotonic_seconds() - started)
                busy += time.process_time() - worked
                if status is not OutboxStatus.DONE:
                    why = floor.rows("SELECT reason_code FROM outbox WHERE decision_id = %s", one.decision_id)[0][0]
                    sys.exit(f"the {one.action} of {one.as_of:%H:%M:%S} ended as {status}: {why}")
        others.close()
        (orders,), (fills,) = floor.rows("SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM fills")
        seconds = sum(took)
        middle, late = (sorted(took)[int(len(took) * share)] * 1_000 for share in (0.5, 0.99))
        sys.stdout.write(
            f"{DECISIONS} decisions, {orders} orders, {fills} fills in {seconds:.2f} s ({busy:.2f} s in this process)\n"
            f"{DECISIONS / seconds:.0f} decisions/s, {orders / seconds:.0f} orders/s; a decision takes {middle:.1f} ms "
            f"in the median and {late:.1f} ms in the 99th percentile\n"
        )


if __name__ == "__main__":
    main()
