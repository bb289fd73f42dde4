"""The process that trades in a rehearsal: it can be killed for real at any moment, and another one goes on.

The exchange and its prices live in the process that started it. What it is told to do comes over a pipe, one task at a
time; who kills it in the middle of one learns nothing more from it. It is forked, so it must not use polars, whose
threads are not forked with it, and would be waited for in vain.
"""

import logging
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from triplegain_pipelines.domain.errors import TransientError, UnavailableError
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.rehearsal.caretaker import Caretaker, Tally
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.control import Control

_LONGEST_TASK = 120.0
_STARTS = 20
Task = Callable[["Trading"], bool]


@dataclass(frozen=True, slots=True)
class Trading:
    """What a task works with."""

    desk: Desk
    control: Control
    caretaker: Caretaker


@dataclass(frozen=True, slots=True)
class Start:
    """Compare books and venue, as whoever begins to trade for an account has to."""

    def __call__(self, trading: Trading) -> bool:
        """Do it."""
        trading.caretaker.start()
        return True


@dataclass(frozen=True, slots=True)
class Round:
    """Do all that services do once, and execute what waits."""

    def __call__(self, trading: Trading) -> bool:
        """Do it."""
        trading.caretaker.round()
        return True


@dataclass(frozen=True, slots=True)
class Settle:
    """Let every decision end and every late fill arrive, and go round until nothing is open."""

    def __call__(self, trading: Trading) -> bool:
        """Do it; whether nothing is open."""
        caretaker, control = trading.caretaker, trading.control
        caretaker.settle(control.repeat_prices)
        caretaker.pass_time()
        control.settle()
        return caretaker.settle(control.repeat_prices)


@dataclass(frozen=True, slots=True)
class Report:
    """How a task ended, and what the process has met so far."""

    done: bool
    tally: Tally


@dataclass
class Trader:
    """One process after another that trades for the account.

    Args:
        opened: makes the desk, in the process that trades.
        url: of the exchange.
        clock: the desk's.
    """

    opened: Callable[[], Desk]
    url: str
    clock: ShiftableClock
    kills: int = 0
    passed: Tally = field(default_factory=Tally)
    _process: BaseProcess | None = None
    _pipe: "Connection[object, object] | None" = None
    _latest: Tally = field(default_factory=Tally)

    def do(self, task: Task) -> bool:
        """Do it and wait for it; what it says.

        Raises:
            UnavailableError: the process ended by itself, or does not answer.
        """
        report = self._sent(task, _LONGEST_TASK)
        if report is None:
            msg = f"the process that trades did not finish {type(task).__name__} within {_LONGEST_TASK:.0f} s"
            raise UnavailableError(msg)
        return report.done

    def do_or_die(self, task: Task, seconds: float) -> None:
        """Begin it, and kill the process where it is not done after so many seconds. Another one then starts anew."""
        if self._sent(task, seconds) is None:
            self.end()
            self.kills += 1
            self.do(Start())

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = None
        self.passed.add(self._latest)
        self._latest = Tally()

    def _sent(self, task: Task, seconds: float) -> Report | None:
        """What the process says of the task, or None where it says nothing for so long."""
        if self._process is None:
            self._begin()
        assert self._pipe is not None  # noqa: S101 - for the type: there is a process now
        self._pipe.send(task)
        if not self._pipe.poll(seconds):
            return None
        try:
            report = self._pipe.recv()
        except EOFError as error:
            msg = f"the process that trades ended by itself during {type(task).__name__}; its trace stands above"
            raise UnavailableError(msg) from error
        assert isinstance(report, Report)  # noqa: S101 - nothing else is ever sent
        self._latest = report.tally
        return report

    def _begin(self) -> None:
        forked = multiprocessing.get_context("fork")
        self._pipe, theirs = forked.Pipe()
        self._process = forked.Process(target=self._trade, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _trade(self, tasks: "Connection[object, object]") -> None:
        """The life of the process, which ends with the one that started it."""
        import structlog

        if self._pipe is not None:
            self._pipe.close()  # only the other process may hold this end, or its death would not be seen
        # What fails is counted, and there is a lot of it.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        desk = self._desk()
        trading = Trading(desk, Control(self.url), Caretaker(desk, self.clock))
        with suppress(EOFError):
            while True:
                task = tasks.recv()
                tasks.send(Report(task(trading), trading.caretaker.tally))  # type: ignore[operator]

    def _desk(self) -> Desk:
        """On a busy machine even an exchange on loopback may answer too late; services try again too."""
        for _ in range(_STARTS - 1):
            try:
                return self.opened()
            except TransientError:
                continue
        return self.opened()
