"""A worker on a study in a process of its own, which stands still in the middle of a portion and waits to be killed.

Arguments: URL of the database, folder, study id, how many portions are done before.
"""

import sys
import threading
from pathlib import Path
from uuid import UUID

from research_market import RESEARCH, laboratory

from triplegain_pipelines.backtest import study
from triplegain_pipelines.store.database import Database

url, folder, study_id, portions = sys.argv[1:]
place = laboratory(Database(url), Path(folder))
evaluate, calls = study.evaluate, 0


def stand_still(*arguments: object) -> object:
    """Evaluate, and from some call on never answer. Each portion evaluates twice: train and test."""
    global calls  # noqa: PLW0603 - a process of one purpose
    calls += 1
    if calls > 2 * int(portions):
        print("in flight", flush=True)
        threading.Event().wait()
    return evaluate(*arguments)  # type: ignore[arg-type]


study.evaluate = stand_still  # type: ignore[assignment]
for batch in study.plan_batches(place, UUID(study_id), size=RESEARCH.batch_trials):
    study.run_batch(place, UUID(study_id), batch, portion=RESEARCH.portion_trials)
