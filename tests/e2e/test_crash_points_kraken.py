"""A live process at Kraken on loopback, killed at any point under any fault: its successor loses and doubles nothing.

`make test` tries a seeded hundred of all combinations, `make rehearse` thousands.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from crash_scripts import SCRIPTS
from crash_tests import try_script

from triplegain_pipelines.store.database import Database

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize("script", SCRIPTS)
def test_killed_at_a_point_and_met_by_a_fault(
    database: Database, tmp_path: Path, record_property: Callable[[str, object], None], script: str
) -> None:
    """Issue point 1, X1 to X5: never two orders for one decision, never a lost fill, nothing left unknown."""
    try_script(database, tmp_path, "kraken", script, record_property)
