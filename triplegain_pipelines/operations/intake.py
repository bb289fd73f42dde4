"""The one way in which delivered 1-minute candles get stored: gate, store, note revisions, doubt, record, roll up.

All of it is one transaction, so no decision sees a candle without its doubt, or a roll-up of other minutes. Imports of
archives do not come this way: their history is long settled, and the quality report is what looks at it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import psycopg

from triplegain_pipelines.domain.quality import Effect, Finding, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe, floor_to
from triplegain_pipelines.market.doubts import (
    TAIL_ROWS,
    USUAL_SPAN,
    doubtful,
    glance_rows,
    needs_a_day,
    suspicious_symbols,
)
from triplegain_pipelines.market.intake import Screened, is_clean, screen
from triplegain_pipelines.operations.rolling import renew_days_of
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.candles import UpsertCount, upsert_candles
from triplegain_pipelines.store.findings import open_findings, record_findings, settle_all
from triplegain_pipelines.store.tails import read_revised, read_tails

_MINUTE = Timeframe.M1.duration
_DAY_ROWS = USUAL_SPAN // _MINUTE
_VALUES = ("open", "high", "low", "close", "volume")
_REFUSED = [code for code in QualityCode if code.effect is Effect.REFUSED]
_HELD = [code for code in QualityCode if code.effect is Effect.HELD]


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What became of a delivery.

    `findings` are those made now, also where they were known. `unfinished` rows were left out because their candle is
    still open. `settled` counts earlier findings that this delivery ended: a sound candle came for a refused one, or
    other values for a doubted one.
    """

    count: UpsertCount
    findings: tuple[Finding, ...] = ()
    unfinished: int = 0
    settled: int = 0

    @property
    def changed(self) -> bool:
        """Whether decisions may see other candles now than before it."""
        return bool(self.count.new or self.count.revised or self.settled)

    @property
    def held(self) -> tuple[Finding, ...]:
        """The findings whose candles no decision sees until they are settled."""
        return tuple(finding for finding in self.findings if finding.code.effect is Effect.HELD)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The findings about rows that were not stored."""
        return tuple(finding for finding in self.findings if finding.code.effect is Effect.REFUSED)


def take_in(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    frame: pl.DataFrame,
    source: str,
    *,
    closed_before: datetime,
    settings: Settings,
    at: datetime,
) -> IntakeResult:
    """Store the candles of one symbol as they were delivered, in the caller's transaction, and roll up their days.

    Args:
        connection: in a transaction; the series stays locked against other writers until it ends.
        venue: what delivered them.
        symbol: of the series.
        frame: 1-minute candles as they came, in any order and with anything in them.
        source: how they came, such as `rest` or `stream`.
        closed_before: only candles that closed up to then, included, are taken.
        settings: with the rules of what is doubtful.
        at: now, the time of detection.

    Raises:
        DataError: the columns are not those of a candle frame.
    """
    screened = screen(frame, venue=venue, symbol=symbol, source=source, closed_before=closed_before)
    count = UpsertCount(0, 0, 0)
    if screened.frame.height:
        count = upsert_candles(connection, venue, symbol, Timeframe.M1, screened.frame, source)
    delivery = _Delivery(connection, venue, source, settings, at)
    result = delivery.judge({symbol: screened}, count)
    if result.changed:
        # A doubt may reach back over midnight.
        days = screened.frame["opened_at"].dt.truncate("1d").unique().to_list()
        renew_days_of(connection, venue, symbol, [*days, *(one.at for one in result.held)])
    return result


def take_in_minutes(
    connection: psycopg.Connection,
    venue: str,
    frame: pl.DataFrame,
    source: str,
    *,
    closed_before: datetime,
    settings: Settings,
    at: datetime,
) -> IntakeResult:
    """As `take_in`, for the newest minutes of many symbols at once, whose roll-ups are renewed with them.

    Args:
        connection: in a transaction.
        venue: what delivered them.
        frame: `symbol` and the columns of a candle frame.
        source: how they came.
        closed_before: only candles that closed up to then, included, are taken.
        settings: with the rules of what is doubtful.
        at: now.

    Raises:
        DataError: the columns are not these.
    """
    from triplegain_pipelines.store.minutes import renew_rollups, upsert_minutes

    screened = _screened(frame, venue, source, closed_before)
    kept = pl.concat([one.frame.select(pl.lit(symbol).alias("symbol"), pl.all()) for symbol, one in screened.items()])
    counted = upsert_minutes(connection, venue, kept, source) if kept.height else UpsertCount(0, 0, 0)
    delivery = _Delivery(connection, venue, source, settings, at)
    result = delivery.judge(screened, UpsertCount(counted.new, counted.identical, counted.revised))
    if result.changed:
        places = set(kept.select("symbol", "opened_at").iter_rows()) | {(one.symbol, one.at) for one in result.held}
        for opened_at, symbols in _by_bucket(places).items():
            renew_rollups(connection, venue, symbols, opened_at)
    return result


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What all steps after storing have in common."""

    connection: psycopg.Connection
    venue: str
    source: str
    settings: Settings
    at: datetime

    def judge(self, screened: Mapping[str, Screened], count: UpsertCount) -> IntakeResult:
        stored = {symbol: one.frame for symbol, one in screened.items() if one.frame.height}
        findings = [finding for one in screened.values() for finding in one.findings]
        settled = 0
        if stored:
            findings += self._revised(stored) if count.revised else []
            settled = self._settle_answered(stored)
            if count.new or count.revised:
                findings += self._doubts(stored)
        record_findings(self.connection, findings, self.at)
        if self.venue == SIMULATED_VENUE:
            self._confirm(findings)
        return IntakeResult(count, tuple(findings), sum(one.unfinished for one in screened.values()), settled)

    def _revised(self, stored: Mapping[str, pl.DataFrame]) -> list[Finding]:
        first, last = _span(stored)
        rows = read_revised(self.connection, self.venue, list(stored), first, last, self.source)
        return [
            Finding(self.venue, row["symbol"], row["opened_at"], QualityCode.REVISED, self.source, _changes(row))
            for row in rows.iter_rows(named=True)
        ]

    def _settle_answered(self, stored: Mapping[str, pl.DataFrame]) -> int:
        """End the findings about refused rows whose minute came soundly, and about held candles that were replaced."""
        first, last = _span(stored)
        codes = [*_REFUSED, *_HELD]
        waiting = open_findings(self.connection, self.venue, list(stored), first, last + _MINUTE, codes)
        if not waiting:
            return 0
        sound = {(symbol, row["opened_at"]): row for symbol, frame in stored.items() for row in _rows(frame)}
        answered = [one.finding_id for one in waiting if _is_answered(one.finding, sound)]
        return settle_all(self.connection, answered, Settlement.CORRECTED, self.at)

    def _doubts(self, stored: Mapping[str, pl.DataFrame]) -> list[Finding]:
        rules = self.settings.market.quality
        firsts: dict[str, datetime] = {symbol: frame.item(0, "opened_at") for symbol, frame in stored.items()}
        # A glance at all symbols in one query; only what is suspicious is looked at closely.
        tails = read_tails(self.connection, self.venue, firsts, glance_rows(rules), USUAL_SPAN)
        new = [frame.select(pl.lit(symbol).alias("symbol"), pl.all()) for symbol, frame in stored.items()]
        suspicious = suspicious_symbols(pl.concat([tails, *new]).sort("symbol", "opened_at"), rules)
        return [doubt for symbol in suspicious for doubt in self._doubts_of(symbol, stored[symbol])]

    def _doubts_of(self, symbol: str, new: pl.DataFrame) -> list[Finding]:
        rules, first = self.settings.market.quality, new.item(0, "opened_at")
        tail = self._before(symbol, first, TAIL_ROWS)
        if needs_a_day(tail, new, rules):
            tail = self._before(symbol, first, _DAY_ROWS)
        frame = pl.concat([tail, new])
        return doubtful(frame, venue=self.venue, symbol=symbol, source=self.source, rules=rules, since=first)

    def _before(self, symbol: str, first: datetime, rows: int) -> pl.DataFrame:
        return read_tails(self.connection, self.venue, {symbol: first}, rows, USUAL_SPAN).drop("symbol")

    def _confirm(self, findings: Iterable[Finding]) -> None:
        # The simulated market is a function of its seed: asked again, it would say the same for ever.
        held = [finding.finding_id for finding in findings if finding.code.effect is Effect.HELD]
        settle_all(self.connection, held, Settlement.CONFIRMED, self.at)


def _screened(frame: pl.DataFrame, venue: str, source: str, closed_before: datetime) -> dict[str, Screened]:
    parts = frame.partition_by("symbol", as_dict=True, include_key=False, maintain_order=True)
    by_symbol = {str(key[0]): part for key, part in parts.items()}
    if is_clean(frame, closed_before):
        return {symbol: Screened(part.sort("opened_at"), []) for symbol, part in by_symbol.items()}
    return {
        symbol: screen(part, venue=venue, symbol=symbol, source=source, closed_before=closed_before)
        for symbol, part in by_symbol.items()
    }


def _span(stored: Mapping[str, pl.DataFrame]) -> tuple[datetime, datetime]:
    return (
        min(frame.item(0, "opened_at") for frame in stored.values()),
        max(frame.item(-1, "opened_at") for frame in stored.values()),
    )


def _rows(frame: pl.DataFrame) -> Iterable[dict[str, Any]]:
    return frame.iter_rows(named=True)


def _changes(row: Mapping[str, Any]) -> dict[str, str | float | int]:
    names = [name for name in _VALUES if row[f"old_{name}"] != row[name]]
    changes: dict[str, str | float | int] = {name: f"{row[f'old_{name}']!r} -> {row[name]!r}" for name in names}
    return {**changes, "source_before": row["old_source"]}


def _is_answered(finding: Finding, sound: Mapping[tuple[str, datetime], Mapping[str, Any]]) -> bool:
    place = (finding.symbol, finding.at)
    if finding.code.effect is Effect.HELD:
        # A doubt is about values: it ends when the candle has others.
        doubted = finding.published or {}
        return place in sound and any(doubted.get(name) != sound[place][name] for name in _VALUES)
    return place in sound


def _by_bucket(places: Iterable[tuple[str, datetime]]) -> dict[datetime, list[str]]:
    """The symbols by shortest bucket: minutes of one such bucket share all longer ones too."""
    buckets: dict[datetime, set[str]] = {}
    for symbol, opened_at in places:
        buckets.setdefault(floor_to(opened_at, ROLLUP_TIMEFRAMES[0].duration), set()).add(symbol)
    return {opened_at: sorted(buckets[opened_at]) for opened_at in sorted(buckets)}
