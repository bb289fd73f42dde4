"""What goes wrong between a client and a venue: kinds, plans, and what was met."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

import numpy as np


class FaultKind(StrEnum):
    """One way in which a private call fares badly. 'Done' means that the venue carried the request out."""

    LOSE_REQUEST = "LOSE_REQUEST"  # the connection ends before anything is done
    LOSE_ANSWER = "LOSE_ANSWER"  # done, and the connection ends without an answer
    DELAY = "DELAY"  # done, and answered after the client has lost its patience
    SERVER_ERROR = "SERVER_ERROR"  # an HTTP status of 5xx, not done
    SERVER_ERROR_AFTER = "SERVER_ERROR_AFTER"  # the same answer, done
    PARTIAL_FILL = "PARTIAL_FILL"  # the order is filled in two parts
    FILL_AFTER_CANCEL = "FILL_AFTER_CANCEL"  # a cancel is accepted, and then a fill arrives
    REVISE = "REVISE"  # an answer is behind the venue's books; the next one is not
    DROP_CONNECTION = "DROP_CONNECTION"  # done, and the connection ends in the middle of the answer
    RATE_LIMIT = "RATE_LIMIT"  # refused, not done
    INVALID_NONCE = "INVALID_NONCE"  # refused for its nonce or time, not done
    LATE_REQUEST = "LATE_REQUEST"  # the connection ends, and the request is carried out some calls later, if still good


class CallKind(StrEnum):
    """What a private call is about, whatever a venue calls it."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"
    QUESTION = "QUESTION"  # about orders and trades
    ACCOUNT = "ACCOUNT"  # balances, keys, the dead-man timer


_SUITS = {
    FaultKind.PARTIAL_FILL: frozenset({CallKind.SUBMIT}),
    FaultKind.FILL_AFTER_CANCEL: frozenset({CallKind.CANCEL}),
    FaultKind.REVISE: frozenset({CallKind.SUBMIT, CallKind.CANCEL, CallKind.QUESTION}),
    FaultKind.LATE_REQUEST: frozenset({CallKind.SUBMIT, CallKind.CANCEL}),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    `call` is the only call that meets it: the venue's name for it (`AddOrder`) or a `CallKind`; None: any that suits.
    """

    kind: FaultKind
    call: str | None = None

    def suits(self, name: str, kind: CallKind) -> bool:
        """Whether a call can meet it."""
        return self.call in {None, name, kind} and kind in _SUITS.get(self.kind, frozenset(CallKind))


class FaultPlan:
    """Faults in the order in which private calls meet them; None: that call is served well.

    A fault that does not suit the call that comes waits for the first one that it suits; the call is served well.
    """

    def __init__(self, faults: Iterable[Fault | None] = ()) -> None:
        self._coming: Iterator[Fault | None] = iter(faults)
        self._waiting: deque[Fault] = deque()
        self._met: list[tuple[str, FaultKind]] = []
        self._lock = Lock()

    def meet(self, name: str, kind: CallKind) -> FaultKind | None:
        """What goes wrong with the private call that has just arrived."""
        with self._lock:
            fault = self._next(name, kind)
            if fault is not None:
                self._met.append((name, fault.kind))
            return fault.kind if fault is not None else None

    @property
    def met(self) -> tuple[tuple[str, FaultKind], ...]:
        """Call and fault, in order."""
        with self._lock:
            return tuple(self._met)

    @property
    def counts(self) -> dict[FaultKind, int]:
        """How often each kind was met."""
        return dict(Counter(kind for _, kind in self.met))

    def _next(self, name: str, kind: CallKind) -> Fault | None:
        for waiting in self._waiting:
            if waiting.suits(name, kind):
                self._waiting.remove(waiting)
                return waiting
        fault = next(self._coming, None)
        if fault is None or fault.suits(name, kind):
            return fault
        self._waiting.append(fault)
        return None


def fault_plan(seed: int, calls: int, share: float) -> FaultPlan:
    """For each of the next private `calls` a fault with probability `share`; the same for the same seed."""
    draw = np.random.default_rng(seed)
    kinds = tuple(FaultKind)
    chosen = (Fault(kinds[draw.integers(len(kinds))]) if draw.random() < share else None for _ in range(calls))
    return FaultPlan(list(chosen))
