"""Processes of a test's own: forked, killed where they are asked to die, and asked how they ended."""

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KILLED = -signal.SIGKILL
_LONGEST_LIFE = 20  # seconds; a process that hangs is a failure


@dataclass(frozen=True, slots=True)
class At:
    """A call of the venue at which something happens: the `number`-th of that name, before it is sent or after.

    After is when the venue has done it, and the process has not seen the answer.
    """

    call: str
    number: int = 1
    after: bool = False

    def __str__(self) -> str:
        """For the name of a test."""
        return f"{'after' if self.after else 'before'} {self.call} {self.number}"


def fork(work: Callable[[], None]) -> int:
    """Do `work` in a process of its own; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        sys.settrace(None)
        faulthandler.dump_traceback_later(_LONGEST_LIFE, exit=True)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the process ends with it
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for the process; its exit code, or the negative number of the signal that ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def when_called(at: At, do: Callable[[], object]) -> None:
    """Let `do` happen in this process at that call. Only ever in a process that ends soon."""
    import requests.adapters

    send, seen = requests.adapters.HTTPAdapter.send, 0

    def sent(adapter: Any, request: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal seen
        due = request.url.split("?")[0].endswith(f"/{at.call}")
        seen += due
        due = due and seen == at.number
        if due and not at.after:
            do()
        answer = send(adapter, request, *arguments, **named)
        if due and at.after:
            do()
        return answer

    requests.adapters.HTTPAdapter.send = sent  # type: ignore[method-assign]


def die() -> None:
    """End this process as the machine's power would."""
    os.kill(os.getpid(), signal.SIGKILL)
