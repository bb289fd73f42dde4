"""What the six seats did lately, and which of them are benched: for `triplegain seats`. It only reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.reasons import ReasonCode

# Where the end of a call is not known, it may have cost its worst case. A withheld one never left.
_ACTIVITY: LiteralString = """
    WITH came AS (
        SELECT seat, model, baseline, reason_code, count(*) AS times FROM research.seat_forecasts
        WHERE recorded_at >= %(since)s AND recorded_at < %(until)s GROUP BY seat, model, baseline, reason_code
    ), forecasts AS (
        SELECT seat, model, baseline, sum(times) FILTER (WHERE reason_code IS NULL) AS answered,
            jsonb_object_agg(reason_code, times) FILTER (WHERE reason_code IS NOT NULL) AS abstentions
        FROM came GROUP BY seat, model, baseline
    ), calls AS (
        SELECT seat, model, baseline, count(*) FILTER (WHERE status <> 'withheld') AS calls,
            count(*) FILTER (WHERE status <> 'withheld' AND purpose <> 'forecast') AS side_calls,
            sum(CASE status WHEN 'sent' THEN worst_case_usd ELSE cost_usd END) AS cost_usd
        FROM research.model_calls WHERE asked_at >= %(since)s AND asked_at < %(until)s GROUP BY seat, model, baseline
    )
    SELECT seat, model, baseline, coalesce(answered, 0)::integer AS answered,
        coalesce(abstentions, '{}') AS abstentions, coalesce(calls, 0) AS calls, coalesce(side_calls, 0) AS side_calls,
        coalesce(cost_usd, 0) AS cost_usd
    FROM forecasts FULL JOIN calls USING (seat, model, baseline) ORDER BY seat, model
"""


@dataclass(frozen=True, slots=True)
class SeatActivity:
    """What one model did in a seat over a stretch of time.

    `answered` forecasts and abstentions (by reason) were recorded in it, `calls` left in it, each turn and each attempt
    counted, `side_calls` of them for something else than a forecast; all of them cost `cost_usd` US dollars, at most
    where their end is not known.
    """

    seat: str
    model: str
    baseline: bool
    answered: int
    abstentions: Mapping[ReasonCode, int]
    calls: int
    side_calls: int
    cost_usd: Decimal

    @property
    def abstained(self) -> int:
        """How often it gave no forecast."""
        return sum(self.abstentions.values())


@dataclass(frozen=True, slots=True)
class SeatBench:
    """How often a model failed in a row; with `benched_until` in the future it is not asked."""

    seat: str
    model: str
    failures: int
    benched_until: datetime | None


def read_activity(connection: psycopg.Connection, since: datetime, until: datetime) -> list[SeatActivity]:
    """What each model did in each seat from `since` up to but without `until`, by seat and model."""
    rows = connection.execute(_ACTIVITY, {"since": since, "until": until}).fetchall()
    return [
        SeatActivity(seat, model, baseline, answered, _by_reason(abstentions), calls, side_calls, cost_usd)
        for seat, model, baseline, answered, abstentions, calls, side_calls, cost_usd in rows
    ]


def read_benches(connection: psycopg.Connection) -> list[SeatBench]:
    """The models that failed last time they were asked, by seat and model."""
    with connection.cursor(row_factory=class_row(SeatBench)) as cursor:
        return cursor.execute(
            """SELECT seat, model, failures, benched_until FROM research.seat_benches
               WHERE failures > 0 ORDER BY seat, model"""
        ).fetchall()


def _by_reason(counted: Mapping[str, int]) -> dict[ReasonCode, int]:
    """The commonest first."""
    return {ReasonCode[code]: times for code, times in sorted(counted.items(), key=lambda one: (-one[1], one[0]))}
