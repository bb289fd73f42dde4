"""The stream service with 50 symbols on one core: its share of the core, its memory, how late candles are.

    .venv/bin/python benchmarks/stream.py [MINUTES]

A loopback venue in this process sends what a busy hour of 50 symbols is, in real time: Kraken's trades (some 40 a
second, most of them of a few symbols) and best prices (some 300 changes of the book a second, each with its checksum).
The service runs in a process that may use one core only. The goal: less than a whole core, every candle stored within
some seconds of its close.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import numpy as np
import psutil
from killable_postgres import killable_database
from scaled_clock import ScaledClock
from stream_process import Plan, StreamProcess
from venues.tape import TapeCandle
from venues.websockets_kraken import KrakenSockets

from triplegain_pipelines.domain.clock import SystemClock, monotonic_seconds
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.trades import Trade
from triplegain_pipelines.store.database import Database

SYMBOLS = tuple(f"C{number}/USDT" for number in range(50))
TRADES_A_SECOND, TOPS_A_SECOND = 40, 300
TICK_SECONDS = 0.05
MINUTE = Timeframe.M1.duration
HISTORY = timedelta(hours=12)
_LATENESS = """
    SELECT extract(epoch FROM recorded_at - opened_at) - 60, source FROM market.candles
    WHERE opened_at >= %s AND opened_at < %s
"""


def main() -> None:
    """Print the figures."""
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        _, database = opened.enter_context(killable_database(Path(folder) / "postgres"))
        now = SystemClock().now()
        server = opened.enter_context(_venue(now))
        clock = ScaledClock(now, now, 1.0)
        plan = Plan(database.url, SYMBOLS, {"kraken": int(server.url.rsplit(":", 1)[1])}, clock, quick=False)
        service = opened.enter_context(StreamProcess(plan, Path(folder) / "service.log"))
        process = psutil.Process(service.pid)
        process.cpu_affinity([max(os.sched_getaffinity(0))])
        stopping = Event()
        sent: Counter[str] = Counter()
        sender = Thread(target=_send, args=(server, stopping, sent), daemon=True)
        sender.start()
        start = _wait_for_next_minutes(clock, 2)
        sent.clear()
        busy, began = process.cpu_times(), monotonic_seconds()
        end = _wait_for_next_minutes(clock, minutes)
        share = (sum(process.cpu_times()[:2]) - sum(busy[:2])) / (monotonic_seconds() - began)
        rates = {what: round(count / (monotonic_seconds() - began)) for what, count in sent.items()}
        memory = process.memory_info().rss / 2**20
        time.sleep(15)
        stopping.set()
        sender.join()
        service.stop()
        sys.stdout.write(f"sent a second: {rates}\n")
        _report(database, share, memory, start, end, minutes)


def _venue(now) -> KrakenSockets:  # noqa: ANN001 - a moment
    server = KrakenSockets(*SYMBOLS)
    first = int(floor_to(now - HISTORY, MINUTE).timestamp())
    flat = TapeCandle(0, "100.0", "100.0", "100.0", "100.0", "0.0")
    # The venue's own candles: quiet ones, so that the trades of the stream differ from them and revisions are made too.
    server.tape.candles = {
        symbol: [replace(flat, time=first + 60 * number) for number in range(12 * 60 + 60)] for symbol in SYMBOLS
    }
    return server


def _send(server: KrakenSockets, stopping: Event, sent: Counter[str]) -> None:
    draw = np.random.default_rng(1)
    weights = 1 / np.arange(1, len(SYMBOLS) + 1)
    number = 0
    while not stopping.wait(TICK_SECONDS):
        now = server.now()
        for place in draw.choice(len(SYMBOLS), draw.poisson(TRADES_A_SECOND * TICK_SECONDS), p=weights / weights.sum()):
            number += 1
            price = round(100 + float(draw.normal(0, 0.05)), 2)
            sent["trades"] += 1
            server.publish_trades(SYMBOLS[place], [Trade(str(number), now, price, 0.25, "buy")])
        for place in draw.choice(len(SYMBOLS), draw.poisson(TOPS_A_SECOND * TICK_SECONDS)):
            bid = round(100 + float(draw.normal(0, 0.05)), 2)
            sent["best prices"] += 1
            server.publish_top(SYMBOLS[place], f"{bid:.2f}", f"{bid + 0.01:.2f}")


def _wait_for_next_minutes(clock: ScaledClock, count: int):  # noqa: ANN202 - a moment
    until = floor_to(clock.now(), MINUTE) + count * MINUTE
    time.sleep((until - clock.now()).total_seconds())
    return until


def _report(database: Database, share: float, memory: float, start, end, minutes: int) -> None:  # noqa: ANN001 - moments
    with database.connection() as connection:
        rows = connection.execute(_LATENESS, (start, end)).fetchall()
        tops = connection.execute("SELECT count(*) FROM market.top_of_book").fetchone()
    for source in ("stream", "rest"):
        late = np.array([float(row[0]) for row in rows if row[1] == source])
        if late.size:
            middle, most = np.percentile(late, [50, 99])
            sys.stdout.write(f"{source}: {late.size} candles, late by {middle:.1f} s (p50), {most:.1f} s (p99)\n")
    wanted = len(SYMBOLS) * minutes
    sys.stdout.write(
        f"{len(rows)} of {wanted} candles in {minutes} minutes, {tops[0] if tops else 0} best prices stored\n"
        f"{share:.0%} of one core, {memory:.0f} MiB\n"
    )


if __name__ == "__main__":
    main()
