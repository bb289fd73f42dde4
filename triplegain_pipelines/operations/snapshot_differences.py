"""Says in words in what a snapshot that was made again differs from the stored one: which bars, which headline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from triplegain_pipelines.agents.evidence import Evidence
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe, floor_to
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION
from triplegain_pipelines.store.indicators import read_indicator_rows
from triplegain_pipelines.store.known_series import known_series
from triplegain_pipelines.store.series import decision_rollups

if TYPE_CHECKING:
    import polars as pl

Windows = Mapping[Timeframe, tuple[datetime, datetime]]

_SHOWN = 3
_ROLLED = Timeframe.M5
_VALUES = ("open", "high", "low", "close", "volume", "minutes")
_NOW = datetime.max.replace(tzinfo=UTC)


def describe(
    connection: psycopg.Connection,
    stored: Snapshot,
    again: Evidence,
    bars: Mapping[Timeframe, pl.DataFrame],
    windows: Windows,
) -> str:
    """What differs, in words.

    A document shows the last bars of a timeframe only. That a timeframe differs beyond them is told by the hashes which
    were stored with the indicators, and which minutes are behind it by the stored roll-ups: a candle that was altered
    without a revision no longer gives the roll-up that was made of it.

    Args:
        connection: in a transaction.
        stored: as it is in the database.
        again: made of the market data of then.
        bars: of each timeframe, the ones `again` was made of.
        windows: the opening times [first, last) of the bars it may be made of.
    """
    [made] = again.snapshots
    before, after = stored.content, made.content
    unlike = _unlike_hashes(connection, stored, again)
    differing = [one for one in DECISION_TIMEFRAMES if one in unlike or _section(before, one) != _section(after, one)]
    words: list[str] = []
    if differing:
        words += _bars(differing[0], _section(before, differing[0]), _section(after, differing[0]), bars[differing[0]])
    if len(differing) > 1:
        words.append(f"{', '.join(differing[1:])} differ with it")
    if differing or stored.data_version != made.data_version:
        reach = differing[-1] if differing else Timeframe.D1
        words += _altered(connection, stored, windows[reach][0], windows[Timeframe.M1][1])
        words = words or ["a bar that it was made of and does not show has other values"]
    words += _headlines(before, after)
    if before.get("fear_greed") != after["fear_greed"]:
        words.append(f"the fear-and-greed index is {after['fear_greed']} and was {before.get('fear_greed')}")
    entries = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return "; ".join(words or [f"its entries {', '.join(entries)} differ"])


def _unlike_hashes(connection: psycopg.Connection, stored: Snapshot, again: Evidence) -> set[Timeframe]:
    """The timeframes whose bars have a hash that was never stored for this moment, while another was."""
    rows = read_indicator_rows(
        connection, stored.venue, stored.symbol, stored.as_of, stored.as_of + timedelta.resolution
    )
    known: dict[Timeframe, set[str]] = {}
    for row in rows:
        if row.code_version == INDICATORS_VERSION:
            known.setdefault(row.timeframe, set()).add(row.data_hash)
    made = {row.timeframe: row.data_hash for row in again.readings}
    return {timeframe for timeframe, hashes in known.items() if made.get(timeframe) not in hashes}


def _section(document: Mapping[str, Any], timeframe: Timeframe) -> Mapping[str, Any]:
    section: Mapping[str, Any] = document["timeframes"].get(timeframe.value, {})
    return section


def _bars(
    timeframe: Timeframe, before: Mapping[str, Any], after: Mapping[str, Any], bars: pl.DataFrame
) -> Iterator[str]:
    """In what one timeframe differs: how many bars there are, else their values, else what was read off them."""
    if before.get("bars") != after["bars"]:
        yield f"{timeframe} has {after['bars']} bars and had {before.get('bars')}"
        return
    newest, was_newest = after.get("last_opened_at"), before.get("last_opened_at")
    if newest != was_newest:
        yield f"the newest {timeframe} bar opened at {newest}, and then it was that of {was_newest}"
        return
    times = bars.get_column("opened_at").tail(len(after["closes"])).to_list()
    shown = [
        f"the {timeframe} bar of {_at(opened_at)} has a {name} of {now} and had {then}"
        for name, entry in (("close", "closes"), ("volume", "volumes"))
        for opened_at, now, then in zip(times, after[entry], before[entry], strict=False)
        if now != then
    ]
    read = after["indicators"]
    changed = [name for name in read if read[name] != before["indicators"].get(name)]
    if shown:
        yield from _first(shown)
    elif changed:
        yield f"{timeframe} has another {', '.join(_first(changed))}, by bars whose shown values are the same"
    else:
        yield f"{timeframe} has bars with other values that it does not show"


def _altered(connection: psycopg.Connection, stored: Snapshot, start: datetime, end: datetime) -> list[str]:
    """The minutes that no longer give the roll-ups which were made of them: altered, added or taken away by hand."""
    import polars as pl

    window = floor_to(start, _ROLLED.duration), floor_to(end, _ROLLED.duration)
    series = known_series(connection, stored.venue, stored.symbol, {_ROLLED: window}, _NOW)
    kept = decision_rollups(connection, stored.venue, stored.symbol, _ROLLED, *window)
    both = series[_ROLLED].join(kept, on="opened_at", how="full", coalesce=True, suffix="_kept").sort("opened_at")
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_kept")) for name in _VALUES)
    found = []
    for row in both.filter(~same).iter_rows(named=True):
        changes = [
            f"{name} {row[name]} and not {row[f'{name}_kept']}" for name in _VALUES if row[name] != row[f"{name}_kept"]
        ]
        found.append(f"today the candles of {_at(row['opened_at'])} give a {_ROLLED} roll-up with {', '.join(changes)}")
    return _first(found)


def _headlines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    then, now = ([(one["source"], one["title"]) for one in document["headlines"]] for document in (before, after))
    gone = [
        f"the headline {title!r} of {source} was there and is not stored"
        for source, title in then
        if (source, title) not in now
    ]
    new = [
        f"the headline {title!r} of {source} is there and was not"
        for source, title in now
        if (source, title) not in then
    ]
    if not gone and not new and before["headlines"] != after["headlines"]:
        return ["the headlines have another age or order"]
    return _first(gone) + _first(new)


def _first(words: Sequence[str]) -> list[str]:
    rest = len(words) - _SHOWN
    return [*words[:_SHOWN], *([f"and {rest} more"] if rest > 0 else [])]


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
