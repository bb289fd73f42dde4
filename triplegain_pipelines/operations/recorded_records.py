"""Records of other people's models: a file is imported whole or not at all, and judged from what is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.recorded_limits import what_they_allow, what_they_do_not_allow
from triplegain_pipelines.evaluation.recorded_records import RecordedBoard, RecordedRow, score_records
from triplegain_pipelines.evaluation.recorded_scores import ScoreAgreement, compare_scores
from triplegain_pipelines.market.files.model_records import RecordsFile, read_model_records
from triplegain_pipelines.settings.profile import PaperSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.recorded_records import recorded_scores, recorded_steps, save_records

_PER_BASIS_POINT = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class RecordsImport:
    """What a file of records held. `new` is False where this very file was imported before."""

    file: str
    kind: str
    rows: int
    models: tuple[str, ...]
    overwritten: int
    new: bool

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "file": self.file,
            "kind": self.kind,
            "rows": self.rows,
            "models": list(self.models),
            "overwritten": self.overwritten,
            "new": self.new,
        }


@dataclass(frozen=True, slots=True)
class JudgedRecords:
    """A board with the rules by which it came about, and what it does not allow."""

    board: RecordedBoard
    allowed: tuple[str, ...]
    not_allowed: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "first_day": self.board.first.isoformat(),
            "last_day": self.board.last.isoformat(),
            "side_cost": str(self.board.side_cost),
            "forecasts_needed": self.board.needed,
            "days_with_calls_of_all": self.board.together,
            "models": [_row_document(row) for row in self.board.rows],
            "rules": list(self.allowed),
            "not_allowed": list(self.not_allowed),
        }


@dataclass(frozen=True, slots=True)
class RecordedModels:
    """Everything that was imported, judged: portfolios and scored headlines, one entry for each file."""

    portfolios: tuple[JudgedRecords, ...]
    headlines: tuple[ScoreAgreement, ...]

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "portfolios": [one.document() for one in self.portfolios],
            "headline_scores": [_agreement_document(one) for one in self.headlines],
        }


def import_records(database: Database, path: Path, *, clock: Clock) -> RecordsImport:
    """Store the records of a file, all or none. Importing the same file again changes nothing.

    Raises:
        InputError: the file cannot be imported; nothing of it was stored.
        UnavailableError: the database cannot be reached; nothing was stored.
    """
    records = read_model_records(path)
    _require_past(records, clock.now())
    with database.connection() as connection:
        new = save_records(connection, records, clock.now())
    return RecordsImport(
        file=str(path),
        kind=records.kind.value,
        rows=records.rows,
        models=tuple(sorted({step.model for step in records.steps})),
        overwritten=sum(step.overwritten for step in records.steps),
        new=new,
    )


def judge_records(database: Database, paper: PaperSettings, tone: Callable[[str], float]) -> RecordedModels:
    """Everything that was imported, on the board's terms.

    Args:
        database: where the records are.
        paper: whose fee and slippage a side of a trade costs.
        tone: our own score of a headline, from -1 to 1.
    """
    with database.connection() as connection:
        files, headlines = recorded_steps(connection), recorded_scores(connection)
    cost = (paper.fee_bps + paper.slippage_bps) * _PER_BASIS_POINT
    boards = [(score_records(steps, cost), steps) for steps in files]
    return RecordedModels(
        portfolios=tuple(
            JudgedRecords(board, tuple(what_they_allow(board, steps)), tuple(what_they_do_not_allow(board, steps)))
            for board, steps in boards
        ),
        headlines=tuple(compare_scores(scores, tone) for scores in headlines),
    )


def _require_past(records: RecordsFile, now: datetime) -> None:
    days = [datetime.combine(step.day, time(0), UTC) for step in records.steps]
    newest = max([*days, *(score.published_at for score in records.scores)])
    if newest > now:
        msg = f"{records.name}: it holds a record of {newest:%Y-%m-%d %H:%M}, which is still to come; correct its time"
        raise InputError(msg)


def _row_document(row: RecordedRow) -> dict[str, object]:
    hits, against = row.hits, row.against_up
    return {
        "model": row.model,
        "days": row.days,
        "days_with_trades": row.traded,
        "calls_up": row.ups,
        "calls_down": row.downs,
        "settled": hits.settled if hits else 0,
        "settled_days": hits.days if hits else 0,
        "independent": hits.independent if hits else 0.0,
        "hits": hits.share if hits else None,
        "hits_interval": [hits.interval.low, hits.interval.high] if hits else None,
        "share_that_rose": hits.rose if hits else None,
        "hits_from_own_price": row.hits_same_day,
        "mean_return_after_costs": row.mean_return,
        "against_always_up": None if against is None else [against.mean, against.low, against.high],
        "sales": row.sales,
        "sales_mean_return_after_costs": row.sales_mean,
        "sales_profit": str(round(row.sales_profit, 2)),
        "started_with": str(row.started),
        "worth": None if row.worth is None else str(round(row.worth.equity, 2)),
        "worth_on": None if row.worth is None else row.worth.day.isoformat(),
        "gate": row.gate,
    }


def _agreement_document(one: ScoreAgreement) -> dict[str, object]:
    return {
        "headlines": one.headlines,
        "repeated": one.repeated,
        "first": one.first.isoformat(),
        "last": one.last.isoformat(),
        "sides": [{"model": model, "ours": ours, "count": n} for (model, ours), n in sorted(one.sides.items())],
        "agreement": one.agreement,
        "agreement_by_chance": one.by_chance,
        "kappa": one.kappa,
        "rank_correlation": one.rank_correlation,
        "not_allowed": list(one.limits),
    }
