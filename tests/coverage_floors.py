"""Fails when the coverage of lines and branches falls under a floor of requirement T1. Run after the tests."""

import sys
from pathlib import Path

from coverage import Coverage
from coverage.results import Numbers

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "triplegain_pipelines/risk": 90,
    "triplegain_pipelines/market": 85,
    "triplegain_pipelines/execution": 85,
    "triplegain_pipelines/agents": 80,
    ".": 80,
}


def folder_coverage(coverage: Coverage) -> dict[str, Numbers]:
    """Lines and branches covered in each folder that holds code, those below it included; `.` is all of them."""
    folders: dict[str, Numbers] = {}
    for name in coverage.get_data().measured_files():
        if not name.endswith(".py"):
            continue  # a template that was rendered under its own name
        path = Path(name).relative_to(ROOT)
        numbers = coverage._analyze(name).numbers  # the public reports offer no figure by folder
        for folder in map(str, path.parents):
            folders[folder] = folders.get(folder, Numbers()) + numbers
    return folders


def main() -> int:
    """Print the figure of each folder and return 1 if one is under its floor."""
    coverage = Coverage(data_file=ROOT / ".coverage", config_file=ROOT / "pyproject.toml")
    coverage.load()
    failed = False
    for folder, numbers in sorted(folder_coverage(coverage).items()):
        floor = FLOORS.get(folder)
        low = floor is not None and numbers.pc_covered < floor
        failed = failed or low
        verdict = "" if floor is None else f"  floor {floor} %{'  TOO LOW' if low else ''}"
        print(f"{folder:<48} {numbers.pc_covered:6.1f} %{verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
