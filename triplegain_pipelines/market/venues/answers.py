"""A venue's history as candles, whether it gives those or the trades they are made of, within the budget for calls."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

import polars as pl

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.trades import TRADE_COLUMNS, candles_of_trades
from triplegain_pipelines.market.venues.budget import call_budget
from triplegain_pipelines.market.venues.history import candle_pages, trade_pages
from triplegain_pipelines.settings.venues import VenueSettings

_MINUTE = Timeframe.M1.duration


class Method(StrEnum):
    """What a venue's history is read as."""

    CANDLES = "candles"
    TRADES = "trades"


@dataclass(frozen=True, slots=True)
class Answer:
    """1-minute candles as delivered, or as built of all trades of their minute.

    The venue has answered for every minute in [answered_from, reached): one without a candle there has none. What lies
    before `answered_from` is unknown.
    """

    frame: pl.DataFrame
    answered_from: datetime
    reached: datetime


class _Page(Protocol):
    @property
    def reached(self) -> datetime: ...


_PageT = TypeVar("_PageT", bound=_Page)


def choose_method(venue: VenueSettings, name: str, since: datetime, now: datetime) -> Method:
    """What to read the venue's history from `since` on as: candles, where it gives those of that time.

    Args:
        venue: what it gives.
        name: of the venue, for the error.
        since: first opening time wanted.
        now: the venue's reach counts back from here.

    Raises:
        InputError: it gives neither candles nor trades of that time.
    """
    reach = venue.candles.reach
    if reach is None or since >= floor_to(now, _MINUTE) - (reach - 1) * _MINUTE:
        return Method.CANDLES
    if venue.trades is not None:
        return Method.TRADES
    msg = (
        f"{name} gives only its newest {reach} candles and no trades, so nothing of {since:%Y-%m-%d %H:%M} UTC; "
        "import an archive of that time, or begin later"
    )
    raise InputError(msg)


def answers(
    venue: VenueSettings,
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    method: Method,
    clock: Clock,
    base_url: str | None = None,
) -> Iterator[Answer]:
    """The venue's candles opened in [since, until), oldest first; each answer begins where the one before reached.

    Args:
        venue: its limits.
        symbol: such as BTC/USDT.
        since: first opening time wanted, a whole minute.
        until: up to which is wanted, excluded, a whole minute.
        method: what to read; see `choose_method`.
        clock: tells which candles have closed.
        base_url: address to use in place of the venue's own.

    Raises:
        InputError: the venue has no such symbol.
        TransientError: the venue failed again and again; the same call may succeed later.
        PermanentError: the venue refused the call.
    """
    if method is Method.CANDLES:
        pages = candle_pages(venue, symbol, since, until, clock=clock, base_url=base_url)
        for page in _within_budget(pages, venue, until):
            if page.reached > since:
                yield Answer(page.frame, max(page.answered_from, since), page.reached)
                since = page.reached
        return
    waiting = pl.DataFrame(schema=dict(TRADE_COLUMNS))
    trades = trade_pages(venue, symbol, since, until, clock=clock, base_url=base_url)
    for page_of_trades in _within_budget(trades, venue, until):
        known = pl.concat([waiting, page_of_trades.frame])
        # A minute is taken only when the venue has answered for all of its time.
        whole = floor_to(page_of_trades.reached, _MINUTE)
        waiting = known.filter(pl.col("traded_at") >= whole)
        if whole > since:
            yield Answer(candles_of_trades(known.filter(pl.col("traded_at") < whole)), since, whole)
            since = whole


def _within_budget(pages: Iterator[_PageT], venue: VenueSettings, until: datetime) -> Iterator[_PageT]:
    """The pages up to the one that reaches `until`, each asked for when the budget for history allows a call."""
    budget = call_budget(venue)
    while True:
        budget.take()
        page = next(pages, None)
        if page is None:
            return
        yield page
        if page.reached >= until:
            return
