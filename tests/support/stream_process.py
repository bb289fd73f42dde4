"""The real stream service in a process of its own: other addresses, a faster clock, waits to match.

Run as a program it serves what its argument says, as JSON; imported, it starts and stops such a process.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from scaled_clock import ScaledClock
from venues.quick import quick_venue

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.market.venues import clock as venue_clock
from triplegain_pipelines.market.venues.exchange import open_exchange
from triplegain_pipelines.services.stream import Addresses, StreamService, run_until_stopped
from triplegain_pipelines.settings import Environment, Settings, load_settings
from triplegain_pipelines.settings.market import FailoverSettings, StreamSettings
from triplegain_pipelines.settings.venues import Venues
from triplegain_pipelines.store.database import Database

_QUICK = {
    "silent_seconds": 1.5,
    "first_wait_seconds": 0.1,
    "longest_wait_seconds": 1.0,
    "look_seconds": 0.05,
    "confirm_minutes": 3,
    "beat_seconds": 0.2,
    "book_seconds": 0.3,
    "clock_seconds": 5.0,
}


@dataclass(frozen=True)
class Plan:
    """What a process is to serve. `ports` are those of the venues, the main venue first, then the backup.

    `quick`: with waits for a market whose minute takes seconds, not those of config/market.yaml.
    """

    url: str
    symbols: tuple[str, ...]
    ports: Mapping[str, int]
    clock: ScaledClock
    failover: Mapping[str, int] = field(
        default_factory=lambda: {"unhealthy_seconds": 180, "quiet_minutes": 15, "basis_minutes": 60}
    )
    quick: bool = True

    def text(self) -> str:
        """For the command line."""
        return json.dumps({**asdict(self), "clock": self.clock.document()})

    @classmethod
    def of_text(cls, text: str) -> "Plan":
        """As the command line says it."""
        document: dict[str, Any] = json.loads(text)
        return cls(
            **{**document, "symbols": tuple(document["symbols"]), "clock": ScaledClock.of_document(document["clock"])}
        )

    def settings(self) -> Settings:
        """The profile `paper` with these venues and symbols, and quick waits."""
        own = load_settings(Environment(profile="paper"))
        main, backup = (*self.ports, None)[:2]
        profile = {"venue": main, "backup_venue": backup, "symbols": self.symbols}
        waits = StreamSettings(**_QUICK) if self.quick else own.market.stream
        market = {"stream": waits, "failover": FailoverSettings(**self.failover)}
        return own.model_copy(
            update={
                "profile": own.profile.model_copy(update=profile),
                "market": own.market.model_copy(update=market),
                "venues": Venues(venues={venue: quick_venue(venue) for venue in self.ports}),
            }
        )

    def addresses(self) -> dict[str, Addresses]:
        """Of the venues."""
        paths = {"kraken": "", "binance": "/stream"}
        return {
            venue: Addresses(f"ws://127.0.0.1:{port}{paths[venue]}", f"http://127.0.0.1:{port}")
            for venue, port in self.ports.items()
        }


class StreamProcess:
    """The service of a plan, started again after it was killed.

    Args:
        plan: what it serves.
        log: a file for what it prints.
    """

    def __init__(self, plan: Plan, log: Path) -> None:
        self._plan, self._log = plan, log
        self._process: subprocess.Popen[bytes] | None = None
        self.ended: list[int] = []

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, self._plan.text()], stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to stop; its exit code, and the seconds it took."""
        assert self._process is not None
        started = monotonic_seconds()
        self._process.send_signal(number)
        try:
            return self._process.wait(30), monotonic_seconds() - started
        finally:
            if self._process.poll() is None:
                self.kill()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def require_alive(self) -> None:
        """Fail when it ended by itself."""
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the service ended by itself with {code}:\n{self.tail()}"

    def tail(self) -> str:
        """The end of what it printed."""
        return self._log.read_text()[-6000:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class _Faster:
    """An exchange whose notes of when it was called are in seconds of a faster clock."""

    def __init__(self, exchange: Any, speed: float) -> None:
        self._exchange, self._speed = exchange, speed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    @property
    def last_answer(self) -> SimpleNamespace:
        """When the last call was sent and answered."""
        last = self._exchange.last_answer
        return SimpleNamespace(sent=last.sent * self._speed, received=last.received * self._speed)


def measure_faster(speed: float) -> None:
    """Clocks are compared by durations, which must run as fast as the clock: nobody else mixes the two."""
    venue_clock.monotonic_seconds = lambda: monotonic_seconds() * speed  # type: ignore[attr-defined]
    venue_clock.open_exchange = lambda *named: _Faster(open_exchange(*named), speed)  # type: ignore[attr-defined]


def main() -> None:
    """Serve the plan until SIGTERM."""
    plan = Plan.of_text(sys.argv[1])
    measure_faster(plan.clock.speed)
    database = Database(plan.url)
    run_until_stopped(lambda: StreamService(database, plan.settings(), plan.clock, plan.addresses()))
    database.close()


if __name__ == "__main__":
    main()
