"""Making a stored snapshot again from the candles, headlines and index of then, as they were known then.

Late candles, corrections, settled doubts and switches of the source of afterwards change nothing of it; a row that was
altered without a revision does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from triplegain_pipelines.agents.evidence import Evidence, gather_evidence
from triplegain_pipelines.agents.headlines import MAXIMUM_AGE, clean_title
from triplegain_pipelines.agents.snapshot import MAXIMUM_FEAR_GREED_AGE, SNAPSHOT_VERSION
from triplegain_pipelines.agents.window import window
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe, floor_to, last_closed_open
from triplegain_pipelines.indicators.registry import WINDOW
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading
from triplegain_pipelines.operations.recomputation import VerifyStep
from triplegain_pipelines.operations.snapshot_differences import describe
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.fear_greed import read_fear_greed
from triplegain_pipelines.store.headlines import read_headlines
from triplegain_pipelines.store.known_series import changes, known_series, snapshot_recorded_at

if TYPE_CHECKING:
    import polars as pl

STEP = "market data"

_MINUTE = Timeframe.M1.duration
# How long before a snapshot was stored the data behind it may have been read: it is made of whole days at a time.
_READING = timedelta(minutes=10)
_TRIES = 30


@dataclass(frozen=True, slots=True)
class News:
    """Headlines and values of the fear-and-greed index that a snapshot may have shown."""

    headlines: list[Headline]
    fear_greed: list[FearGreedReading]

    def __len__(self) -> int:
        """How many there are of both."""
        return len(self.headlines) + len(self.fear_greed)


def check_market_data(connection: psycopg.Connection, stored: Snapshot, usual_grace: timedelta) -> VerifyStep:
    """Make `stored` again of the market data that was known when it was stored, and compare.

    The data was read a little before the snapshot was stored, and what a writer was still writing then was not seen.
    So where it does not come out of what was known when it was stored, the moments before count as well, back to when
    it could be made first, and the detail names the one that it shows.

    When a headline or value was stored is not recorded: it counts from when it was first seen. Where that is assumed,
    which is so in archives, or just before the snapshot was stored, one that the snapshot does not show may have come
    later, and is left out if it comes out so; the detail says that.

    Args:
        connection: in a transaction.
        stored: as it is in the database.
        usual_grace: of today's settings, for a snapshot at a whole minute: elsewhere its time says what the grace was.
    """
    if stored.code_version != SNAPSHOT_VERSION:
        detail = (
            f"it was made by {stored.code_version} and cannot be made again by {SNAPSHOT_VERSION}, which is installed; "
            "verify it with the version of the program that made it"
        )
        return VerifyStep(STEP, identical=False, detail=detail)
    try:
        return _compare(connection, stored, usual_grace)
    except (DataError, ValueError, KeyError) as error:
        return VerifyStep(STEP, identical=False, detail=f"it cannot be computed again: {error}")


def grace_of(as_of: datetime, usual: timedelta) -> timedelta:
    """The grace that a decision at `as_of` was made after: what is over the minute, as decisions fall on minutes.

    At a whole minute it was none, or a whole one: the usual grace is taken where it is one of these.
    """
    over = as_of - floor_to(as_of, _MINUTE)
    return usual if not over and usual in {timedelta(0), _MINUTE} else over


def _compare(connection: psycopg.Connection, stored: Snapshot, usual_grace: timedelta) -> VerifyStep:
    recorded_at = snapshot_recorded_at(connection, stored.snapshot_id)
    if recorded_at is None:
        msg = f"the snapshot {stored.snapshot_id} is not stored"
        raise DataError(msg)
    remaker = _Remaker(connection, stored, grace_of(stored.as_of, usual_grace))
    every = _known_news(connection, stored)
    dated = _certainly_known(every, stored, recorded_at)
    for known_at in remaker.moments(recorded_at):
        frames = remaker.frames(known_at)
        for news in (every, dated):
            if remaker.is_same(remaker.evidence(frames, news)):
                return VerifyStep(STEP, identical=True, detail=_note(recorded_at - known_at, len(every) - len(news)))
    frames = remaker.frames(recorded_at)
    again = remaker.evidence(frames, every)
    return VerifyStep(
        STEP, identical=False, detail=describe(connection, stored, again, remaker.bars(frames), remaker.windows())
    )


@dataclass(frozen=True, slots=True)
class _Remaker:
    connection: psycopg.Connection
    stored: Snapshot
    grace: timedelta

    def windows(self) -> dict[Timeframe, tuple[datetime, datetime]]:
        """The opening times [first, last) of the bars it may rest on."""
        return {
            timeframe: (newest - (WINDOW - 1) * timeframe.duration, newest + timeframe.duration)
            for timeframe in DECISION_TIMEFRAMES
            for newest in (last_closed_open(self.stored.as_of, timeframe, self.grace),)
        }

    def moments(self, recorded_at: datetime) -> Iterator[datetime]:
        """When it was stored; then, newest first, each moment right before what was known changed."""
        yield recorded_at
        reach = self.windows()
        window = (reach[Timeframe.D1][0], reach[Timeframe.M1][1])
        since = max(recorded_at - _READING, self.stored.as_of - _MINUTE)
        place = (self.stored.venue, self.stored.symbol, window)
        for moment in changes(self.connection, *place, since, recorded_at, limit=_TRIES):
            yield moment - timedelta.resolution

    def frames(self, known_at: datetime) -> dict[Timeframe, pl.DataFrame]:
        """The bars as they were known at a moment."""
        return known_series(self.connection, self.stored.venue, self.stored.symbol, self.windows(), known_at)

    def bars(self, frames: Mapping[Timeframe, pl.DataFrame]) -> dict[Timeframe, pl.DataFrame]:
        """Those that the snapshot may show."""
        return window(frames, self.stored.as_of, self.grace)

    def evidence(self, frames: Mapping[Timeframe, pl.DataFrame], news: News) -> Evidence:
        """Indicators and snapshot of these bars, by the way every snapshot is made."""
        return gather_evidence(
            venue=self.stored.venue,
            symbol=self.stored.symbol,
            candles=frames,
            decision_times=[self.stored.as_of - self.grace],
            grace=self.grace,
            headlines=news.headlines,
            fear_greed=news.fear_greed,
            weights=self.stored.timeframe_weights,
        )

    def is_same(self, evidence: Evidence) -> bool:
        """Whether document, hash and the bars behind it are those of the stored one."""
        [made] = evidence.snapshots
        return (made.content_hash, made.document, made.data_version) == (
            self.stored.content_hash,
            self.stored.document,
            self.stored.data_version,
        )


def _known_news(connection: psycopg.Connection, stored: Snapshot) -> News:
    # Of its document nothing is asked, not even whether its market is simulated: it is what is in question.
    simulated = stored.venue == SIMULATED_VENUE
    headlines = read_headlines(connection, stored.as_of - MAXIMUM_AGE, stored.as_of)
    index = [] if simulated else read_fear_greed(connection, stored.as_of - MAXIMUM_FEAR_GREED_AGE, stored.as_of)
    return News([one for one in headlines if one.source.startswith(SIMULATED_VENUE) == simulated], index)


def _certainly_known(news: News, stored: Snapshot, recorded_at: datetime) -> News:
    """Without what the snapshot does not show and may have been stored after it was made."""
    shown = {(one["source"], one["title"]) for one in stored.content["headlines"]}
    index = stored.content["fear_greed"]
    return News(
        [
            one
            for one in news.headlines
            if not _undated(one, recorded_at) or (clean_title(one.source), clean_title(one.title)) in shown
        ],
        [
            one
            for one in news.fear_greed
            if not _undated(one, recorded_at) or (index is not None and one.score == index["score"])
        ],
    )


def _undated(one: Headline | FearGreedReading, recorded_at: datetime) -> bool:
    return one.first_seen_assumed or one.first_seen_at > recorded_at - _READING


def _note(before: timedelta, left_out: int) -> str:
    notes = []
    if before:
        notes.append(f"as it was known {before.total_seconds():.6f} s before it was stored")
    if left_out:
        notes.append(f"without {left_out} headlines or index values that it does not show and that may have come later")
    return "; ".join(notes)
