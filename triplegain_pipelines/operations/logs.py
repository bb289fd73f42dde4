"""Logs without secrets. Called once by each process, before it does anything.

Every record of `logging`, whoever writes it and wherever it goes, and every line of structlog has the remembered
secrets taken out. Tracebacks are plain ones: those of structlog print the values of local variables where `rich` is
installed.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType

from triplegain_pipelines.domain.secrets import redacted

_PLAIN = logging.Formatter()


def protect_logs() -> None:
    """Take secrets out of all that this process logs, and out of what it prints when it fails.

    For a process that does not use structlog, whose import costs as much as a tenth of Dagster's.
    """
    if not isinstance(logging.getLogRecordFactory(), _RedactedRecords):
        logging.setLogRecordFactory(_RedactedRecords(logging.getLogRecordFactory()))
    sys.excepthook = _print_exception
    threading.excepthook = _print_of_thread


def protect_structured_logs() -> None:
    """`protect_logs`, and the lines of structlog too, for commands and services."""
    import structlog

    protect_logs()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
            _redact_line,
        ]
    )


class _RedactedRecords:
    """Makes log records as `behind` does, and takes the secrets out of their text and their traceback."""

    def __init__(self, behind: Callable[..., logging.LogRecord]) -> None:
        self._behind = behind

    def __call__(self, *arguments: object, **named: object) -> logging.LogRecord:
        record = self._behind(*arguments, **named)
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # the arguments do not fit the text: logging would print both
            record.msg, record.args = f"{record.msg} {record.args}", ()
            text = record.msg
        clean = redacted(text)
        if clean != text:
            record.msg, record.args = clean, ()
        if record.exc_info:
            record.exc_text = redacted(_PLAIN.formatException(record.exc_info))  # handlers use it as it is
        return record


def _redact_line(_logger: object, _method: str, line: object) -> str:
    return redacted(str(line))


def _print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _print_of_thread(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else "unknown"
    sys.stderr.write(f"thread {name} failed\n")
    if failed.exc_value is not None:
        _print_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
