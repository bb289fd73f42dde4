"""The guardian's reaction with 50 positions: from a tick that passes a level to the order handed to the broker.

    .venv/bin/python benchmarks/guardian.py [DATABASE_URL]

Without a URL it starts an embedded PostgreSQL of its own in a temporary folder. The venue is one on this machine that
answers at once, so the figures are the guardian's own: lock, books, the cancellation of the stop that rests, intent and
commit. Other symbols go on ticking meanwhile, and the guardian does all else that it does every second; only the
comparison of books and venue at its start is waited for. The goal is 250 ms. The last line is a crash: every stop at
once, one after another.
"""

import asyncio
import logging
import statistics
import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import structlog
from guarded_floor import NO_STOPS, SPOT, GuardedFloor, guarded_floor
from own_database import fresh_database

from triplegain_pipelines.domain.clock import SystemClock, monotonic_seconds
from triplegain_pipelines.domain.orders import Intent, Leg
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.levels import Tick
from triplegain_pipelines.services.guardian_loop import Guardian, Rhythm
from triplegain_pipelines.store.database import Database

SYMBOLS = [f"C{number:02}/USDT" for number in range(50)]
ROUNDS = 4
_QUIET_SECONDS = 0.02  # between two ticks of each of the other symbols there is a second


class Told:
    """Prices that the benchmark tells."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def follow(self, seen: Callable[[Tick], None]) -> None:
        """Hand the guardian's ear over."""
        self.seen = seen
        self.ready.set()
        await asyncio.Event().wait()

    def covers(self, symbol: str) -> bool:  # noqa: ARG002
        """All of them."""
        return True

    def tell(self, symbol: str, price: int) -> None:
        """A price of now."""
        self.seen(Tick(symbol, Decimal(price), Decimal(price), SystemClock().now()))


class Times:
    """When each symbol's level was passed, and when its exit was sent."""

    def __init__(self) -> None:
        self.passed: dict[str, float] = {}
        self.sent: dict[str, float] = {}

    def on_submit(self, intent: Intent) -> None:
        """An order reaches the broker."""
        if intent.leg is Leg.EXIT:
            self.sent[intent.symbol] = monotonic_seconds()

    @property
    def reactions(self) -> list[float]:
        """Milliseconds from tick to order."""
        return [1000 * (self.sent[symbol] - passed) for symbol, passed in self.passed.items()]


async def one_by_one(floor: GuardedFloor, told: Told, times: Times, price: int) -> None:
    """Pass the level of one symbol after another, while the others tick."""
    for symbol in SYMBOLS:
        times.passed[symbol] = monotonic_seconds()
        told.tell(symbol, price)
        while symbol not in times.sent or floor.held(symbol):
            await asyncio.sleep(_QUIET_SECONDS)
            for other in SYMBOLS:
                if other not in times.passed:
                    told.tell(other, 10_000)


async def all_at_once(floor: GuardedFloor, told: Told, times: Times, price: int) -> None:
    """Pass every level at the same moment."""
    del floor
    for symbol in SYMBOLS:
        times.passed[symbol] = monotonic_seconds()
        told.tell(symbol, price)
    while len(times.sent) < len(SYMBOLS):  # noqa: ASYNC110 - what is waited for happens in a thread
        await asyncio.sleep(_QUIET_SECONDS)


async def guarded(floor: GuardedFloor, how: Callable[..., object], price: int) -> Times:
    """The times of one run over all positions."""
    told, times = Told(), Times()
    floor.spot.on_submit = times.on_submit
    guardian = Guardian(floor.desk, told, Rhythm())
    work = asyncio.ensure_future(guardian.run())
    await told.ready.wait()
    while not guardian.is_settled:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_QUIET_SECONDS)
    for symbol in SYMBOLS:
        told.tell(symbol, 10_000)
    await how(floor, told, times, price)  # type: ignore[misc]
    await guardian.leave()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    return times


def run(database: Database, traits: VenueTraits, how: Callable[..., object], price: int) -> list[float]:
    """Enter 50 positions, and let the guardian leave them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    floor = guarded_floor(database, SystemClock(), traits, SYMBOLS)
    for symbol in SYMBOLS:
        floor.enter(symbol, "0.01")
    return asyncio.run(guarded(floor, how, price)).reactions


def main() -> None:
    """Print the figures."""
    with fresh_database() as database:
        cases = (
            ("target, a stop rests", SPOT, one_by_one, 10_500),
            ("stop held here", NO_STOPS, one_by_one, 9_700),
            ("all 50 stops at once", NO_STOPS, all_at_once, 9_700),
        )
        for name, traits, how, price in cases:
            times = sorted(one for _ in range(ROUNDS) for one in run(database, traits, how, price))
            p99 = times[-1 - len(times) // 100]
            sys.stdout.write(
                f"{name}: median {statistics.median(times):.0f} ms, p99 {p99:.0f} ms, longest {times[-1]:.0f} ms\n"
            )


if __name__ == "__main__":
    main()
