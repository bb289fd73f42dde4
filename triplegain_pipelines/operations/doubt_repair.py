"""Held candles: the venue is asked for them again, and they are confirmed, corrected, or held for longer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from triplegain_pipelines.domain.errors import PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.quality import Effect, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.intake import screen
from triplegain_pipelines.operations.rolling import renew_days_of
from triplegain_pipelines.operations.venue_history import SOURCE, Answer, OutOfCallsError, Stretch, VenueHistory
from triplegain_pipelines.store.candle_writes import lock_series
from triplegain_pipelines.store.candles import read_candles
from triplegain_pipelines.store.findings import StoredFinding, open_findings, settle_all

_MINUTE = Timeframe.M1.duration
_HELD = [code for code in QualityCode if code.effect is Effect.HELD]
_CHANGES = (*_HELD, QualityCode.REVISED)
_VALUES = ("open", "high", "low", "close", "volume")
_NEXT = 3  # so many candles with a trade after a jump must stay where it went
_SOON = timedelta(hours=1)


@dataclass(slots=True)
class Doubts:
    """What became of the held candles of one symbol. The sets hold opening times."""

    confirmed: set[datetime] = field(default_factory=set)
    corrected: set[datetime] = field(default_factory=set)
    changed: set[datetime] = field(default_factory=set)  # all that was written or became doubtful on the way


def settle_doubts(
    history: VenueHistory,
    symbol: str,
    asked_for: Stretch,
    backup: VenueHistory | None,
    doubts: Doubts,
    on_backup_failure: Callable[[Exception], None],
) -> None:
    """Ask the venue again for each held candle opened in `asked_for` that is final.

    Other values replace the candle, and the doubt is settled as corrected. The same values confirm a candle of a feed
    that stood still. An outlier that the venue repeats is confirmed where the backup venue moved alike in the same
    minutes, within half of the move, or where the next three candles with a trade, within an hour, stay at least half
    the move away; else it stays held: a wrong tick is repeated by the venue as readily as a right one. An outlier that
    the venue has no more is judged by that alone.

    Args:
        history: the venue.
        symbol: of the series.
        asked_for: opening times of the candles asked about.
        backup: another venue to compare with, or None.
        doubts: learns what becomes of them as it goes, so that nothing is lost where the venue fails on the way.
        on_backup_failure: told when the backup venue failed, which leaves the next candles to decide.

    Raises:
        OutOfCallsError: the budget of calls is spent.
        TransientError: the venue failed.
        PermanentError: the venue refused the call.
    """

    def confirm(repeated: Sequence[StoredFinding]) -> None:
        confirmed = [one for one in repeated if _is_credible(history, symbol, one, backup, on_backup_failure)]
        _confirm(history, symbol, confirmed)
        doubts.confirmed |= {one.finding.at for one in confirmed}

    waiting = _waiting(history, symbol, asked_for)
    out_of_reach = [one for one in waiting if not history.reaches(one.finding.at)]
    confirm([one for one in out_of_reach if one.finding.code is QualityCode.OUTLIER])
    for window in history.windows(Stretch(one.finding.at, one.finding.at + _MINUTE) for one in waiting):
        for answer in history.ask(symbol, window):
            asked = [one for one in waiting if answer.covers(one.finding.at)]
            still = {one.finding_id for one in _waiting(history, symbol, asked_for)}
            confirm([one for one in asked if one.finding_id in still and _is_repeated(one, answer)])
            doubts.corrected |= {one.finding.at for one in asked if one.finding_id not in still}
            doubts.changed |= {one.at for one in answer.taken.findings if one.code in _CHANGES}
            doubts.changed |= doubts.confirmed | doubts.corrected


def count_held(history: VenueHistory, symbols: Sequence[str], since: datetime) -> int:
    """How many candles opened from `since` on no decision may see."""
    with history.database.connection() as connection:
        found = open_findings(connection, history.venue, symbols, since, history.clock.now(), _HELD)
    return len({(one.finding.symbol, one.finding.at) for one in found})


def _waiting(history: VenueHistory, symbol: str, asked_for: Stretch) -> list[StoredFinding]:
    end = min(asked_for.end, history.final)
    with history.database.connection() as connection:
        return open_findings(connection, history.venue, [symbol], asked_for.start, end, _HELD)


def _is_repeated(doubt: StoredFinding, answer: Answer) -> bool:
    """Whether the venue gave the very candle again; a minute that it left out, or gave malformed, is no answer."""
    published = doubt.finding.published or {}
    rows = answer.page.frame.filter(pl.col("opened_at") == doubt.finding.at)
    return rows.height > 0 and all(
        all(row[name] == published.get(name) for name in _VALUES) for row in rows.iter_rows(named=True)
    )


def _is_credible(
    history: VenueHistory,
    symbol: str,
    doubt: StoredFinding,
    backup: VenueHistory | None,
    on_backup_failure: Callable[[Exception], None],
) -> bool:
    if doubt.finding.code is not QualityCode.OUTLIER:
        return True
    jump = _Jump.of(doubt)
    return _stayed(history, symbol, jump) or (
        backup is not None and _backup_agrees(backup, symbol, jump, on_backup_failure)
    )


@dataclass(frozen=True, slots=True)
class _Jump:
    """How far a doubted candle went from the close it was measured by. `move` is up above zero, down below."""

    at: datetime
    move: float
    reference: float
    reference_at: datetime

    @classmethod
    def of(cls, doubt: StoredFinding) -> "_Jump":
        detail = doubt.finding.detail
        reference_at = datetime.fromisoformat(str(detail["reference_at"]))
        return cls(doubt.finding.at, float(detail["move"]), float(detail["reference"]), reference_at)

    def is_reached_by(self, price: float) -> bool:
        """Whether a price lies at least half the move away from the reference, on the same side."""
        share = price / self.reference - 1 if self.move > 0 else self.reference / price - 1
        return share >= abs(self.move) / 2


def _stayed(history: VenueHistory, symbol: str, jump: _Jump) -> bool:
    """Whether the next three candles all closed near where the price had jumped to.

    A minute without a trade repeats the price before it, a wrong one too: it is no witness.
    """
    after = jump.at + _MINUTE
    with history.database.connection() as connection:
        following = read_candles(
            connection, history.venue, symbol, Timeframe.M1, after, min(after + _SOON, history.final)
        )
    closes = following.filter(pl.col("volume") > 0)["close"].head(_NEXT).to_list()
    return len(closes) == _NEXT and all(jump.is_reached_by(close) for close in closes)


def _backup_agrees(backup: VenueHistory, symbol: str, jump: _Jump, on_failure: Callable[[Exception], None]) -> bool:
    """Whether the backup venue went as far in the same minutes, within half of the move."""
    try:
        pages = list(backup.pages(symbol, Stretch(jump.reference_at, jump.at + _MINUTE)))
    except UnavailableError:
        raise
    except (TransientError, PermanentError, OutOfCallsError) as error:
        on_failure(error)
        return False
    frame = pl.concat([page.frame for page in pages]) if pages else pl.DataFrame()
    if frame.is_empty():
        return False
    sound = screen(frame, venue=backup.venue, symbol=symbol, source=SOURCE, closed_before=backup.final).frame
    before = sound.filter(pl.col("opened_at") == jump.reference_at)
    during = sound.filter(pl.col("opened_at") == jump.at)
    if before.is_empty() or during.is_empty():
        return False
    reference = before.item(0, "close")
    up, down = during.item(0, "high") / reference - 1, reference / during.item(0, "low") - 1
    moved = up if jump.move > 0 else -down
    return bool(abs(moved - jump.move) <= abs(jump.move) / 2)


def _confirm(history: VenueHistory, symbol: str, doubts: Sequence[StoredFinding]) -> None:
    if not doubts:
        return
    with history.database.connection() as connection:
        # Before the findings, as whoever delivers candles does: the other way round each could wait for the other.
        lock_series(connection, history.venue, [symbol], Timeframe.M1)
        settle_all(connection, [one.finding_id for one in doubts], Settlement.CONFIRMED, history.clock.now())
        renew_days_of(connection, history.venue, symbol, [one.finding.at for one in doubts])
