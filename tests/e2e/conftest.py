"""Fixtures of the end-to-end tests."""

from pathlib import Path

import pytest
from homes import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that was never used."""
    return Home(tmp_path / "home")
