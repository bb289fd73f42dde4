"""Fixtures of the end-to-end tests."""

from pathlib import Path

import pytest
from crash_tests import summed_up
from homes import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that was never used."""
    return Home(tmp_path / "home")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the crash-point tests have tried, whichever worker did."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    line = summed_up(entry for report in reports if report.when == "call" for entry in report.user_properties)
    if line is not None:
        terminalreporter.section("crash points")
        terminalreporter.write_line(line)
