"""The crash-point test of one venue, and the line at the end of a run that sums up what was tried."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from crash_scripts import SCRIPTS
from crashes import VENUES, Combination, CrashSite, combinations_of

from triplegain_pipelines.store.database import Database

_NUMBER, _SEED = "TRIPLEGAIN_CRASH_COMBINATIONS", "TRIPLEGAIN_CRASH_SEED"
_PROPERTY = "crash points"


def seed() -> int:
    """The seed of this run: the same one draws the same combinations."""
    return int(os.environ.get(_SEED, "20260107"))


def try_script(
    database: Database, folder: Path, venue: str, script: str, record: Callable[[str, object], None]
) -> None:
    """Try a script's share of the run's combinations, after a run in which nobody is killed and which counts points."""
    database.close()  # no connection may be open when a process is forked
    site = CrashSite(database, folder)
    counted = site.try_out(Combination(venue, script, 0, None, None, falls=False), deadly=False)
    assert not counted.broken, counted.broken
    points, recovery = counted.points
    faults: Counter[str] = Counter()
    tried = killed = 0
    for combination in combinations_of(venue, script, points, recovery, _share(venue, script), seed()):
        ended = site.try_out(combination)
        broken = "\n".join(ended.broken)
        assert not broken, f"{combination}\nwith {_SEED}={seed()}\n{broken}"
        tried += 1
        killed += ended.killed
        faults.update({kind.value: number for kind, number in ended.faults.items()})
    record(_PROPERTY, {"tried": tried, "killed": killed, "points": points, "faults": dict(faults)})


def summed_up(properties: Iterable[tuple[str, Any]]) -> str | None:
    """What the tests of a run have tried together, as a line; None where there were none."""
    found: list[Mapping[str, Any]] = [value for name, value in properties if name == _PROPERTY]
    if not found:
        return None
    faults: Counter[str] = Counter()
    for one in found:
        faults.update(one["faults"])
    met = ", ".join(f"{number} {kind}" for kind, number in sorted(faults.items()))
    tried, killed, points = (sum(one[name] for one in found) for name in ("tried", "killed", "points"))
    return f"{tried} combinations tried at {points} points, {killed} kills, seed {seed()}; faults met: {met or 'none'}"


def _share(venue: str, script: str) -> int:
    """How many of the run's combinations are this script's at this venue."""
    number = int(os.environ.get(_NUMBER, "100"))
    pairs = [(each, name) for name in SCRIPTS for each in VENUES]
    whole, rest = divmod(number, len(pairs))
    return whole + (pairs.index((venue, script)) < rest)
