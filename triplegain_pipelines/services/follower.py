"""Follows one venue over WebSocket: opens each channel anew whenever it breaks, and knows which minutes are whole."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import structlog

from triplegain_pipelines.domain.clock import Clock, monotonic_seconds
from triplegain_pipelines.domain.errors import PermanentError, TransientError
from triplegain_pipelines.domain.quality import Finding
from triplegain_pipelines.market.streams.adapter import Channel, VenueStream
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.market.streams.events import CandleSeen, Connected, Disconnected, Event, TradesSeen
from triplegain_pipelines.market.trades import MinuteBuilder, MinuteCandle, minute_of
from triplegain_pipelines.settings.market import StreamSettings

_MINUTE = timedelta(minutes=1)
_KEPT_FINDINGS = 1_000
_log = structlog.get_logger(__name__)


class Bounds(Protocol):
    """A venue's clock, which is known within bounds only."""

    def latest(self) -> datetime:
        """The time that it is at the venue at most."""
        ...


@dataclass
class ChannelState:
    """How a channel stands. `connected_at` is None while it is broken; `detail` says why."""

    endpoint: str
    changed_at: datetime
    connected_at: datetime | None = None
    last_message_at: datetime | None = None
    connections: int = 0
    detail: str = "not connected yet"

    @property
    def reconnects(self) -> int:
        """How often it was connected again."""
        return max(0, self.connections - 1)


@dataclass
class _Minutes:
    """The minutes of one connection: those that began after it stood, and have closed while it did.

    `passed` is the latest time that the venue has written into a message of it: a connection that is dead without our
    knowing does not pass the end of a minute.
    """

    begins: datetime
    passed: datetime
    builders: dict[str, MinuteBuilder]
    forming: dict[str, dict[datetime, MinuteCandle]] = field(default_factory=dict)


class Follower:
    """One venue's channels. Everything but `follow` returns at once; all of it belongs to one event loop.

    Args:
        stream: the venue's adapter.
        symbols: what is followed.
        rules: waits between two attempts.
        clock: ours.
        venue_time: the venue's clock.
        seed: of the jitter of the waits.
    """

    def __init__(
        self,
        stream: VenueStream,
        symbols: Sequence[str],
        rules: StreamSettings,
        clock: Clock,
        venue_time: Bounds,
        seed: int,
    ) -> None:
        self._stream, self._symbols, self._rules = stream, tuple(symbols), rules
        self._clock, self._venue_time = clock, venue_time
        self._jitter = np.random.default_rng(seed)
        self._minutes: _Minutes | None = None
        self._late: set[tuple[str, datetime]] = set()
        self._findings: list[Finding] = []
        self._tops: dict[str, TopOfBook] = {}
        self.channels = {channel: ChannelState(stream.endpoint(channel), clock.now()) for channel in stream.channels}

    async def follow(self, channel: Channel) -> None:
        """Keep a channel open until cancelled; one that breaks is opened anew, ever more slowly while it does not last.

        Whatever the venue does is told in the channel's state and in the log, and leads to another attempt.
        """
        state, wait = self.channels[channel], self._rules.first_wait_seconds
        while True:
            started = monotonic_seconds()
            try:
                await self._stream.follow(channel, lambda event: self._see(channel, event))
            except (TransientError, PermanentError) as error:
                state.detail = str(error)
                _log.warning("stream broke", endpoint=state.endpoint, error=str(error))
            if monotonic_seconds() - started > self._rules.longest_wait_seconds:
                wait = self._rules.first_wait_seconds
            await asyncio.sleep(wait * float(self._jitter.uniform(0.5, 1.5)))
            wait = min(2 * wait, self._rules.longest_wait_seconds)

    def closed_minutes(self, until: datetime) -> dict[str, list[MinuteCandle]]:
        """The candles of the minutes that ended by `until` and were received without a break, each told once.

        A minute without a trade has none: what the venue says of it is asked for by REST. Nor has one of which the end
        has not come over the connection yet.

        Args:
            until: by the venue's clock.
        """
        minutes = self._minutes
        if minutes is None:
            return {}
        until = min(until, minutes.passed)
        built = {symbol: _built(builder, until) for symbol, builder in minutes.builders.items()}
        own = {symbol: _final(candles, minutes.begins, until) for symbol, candles in minutes.forming.items()}
        return built | own

    def take_late(self) -> set[tuple[str, datetime]]:
        """Symbol and minute of the trades that came after their minute was closed; each is told once."""
        late, self._late = self._late, set()
        return late

    def take_tops(self) -> list[TopOfBook]:
        """The newest best prices of each symbol that were not told before."""
        tops, self._tops = self._tops, {}
        return list(tops.values())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found wrong in the streams, the newest last, until `forget` is called."""
        return tuple(self._findings)

    def forget(self, findings: Sequence[Finding]) -> None:
        """These findings are recorded."""
        self._findings = [finding for finding in self._findings if finding not in findings]

    def _see(self, channel: Channel, event: Event) -> None:
        state = self.channels[channel]
        now = self._clock.now()
        match event:
            case Connected():
                state.connections += 1
                state.connected_at = state.changed_at = now
                state.detail = ""
                if channel is Channel.PRICES:
                    self._begin()
            case Disconnected():
                state.connected_at, state.changed_at, state.detail = None, now, event.reason
                if channel is Channel.PRICES:
                    self._minutes = None
                return
            case TradesSeen():
                self._take_trades(event)
            case CandleSeen():
                self._take_candle(event)
            case TopOfBook():
                self._tops[event.symbol] = event
            case Finding():
                self._findings = [*self._findings, event][-_KEPT_FINDINGS:]
        state.last_message_at = now

    def _take_trades(self, event: TradesSeen) -> None:
        if self._minutes is None:
            return
        late = self._minutes.builders[event.symbol].add(event.trades)
        self._late |= {(event.symbol, minute) for minute in late}
        self._minutes.passed = max(self._minutes.passed, *(trade.traded_at for trade in event.trades))

    def _take_candle(self, event: CandleSeen) -> None:
        if self._minutes is None:
            return
        opened_at = event.candle.opened_at
        self._minutes.forming.setdefault(event.symbol, {})[opened_at] = event.candle
        self._minutes.passed = max(self._minutes.passed, opened_at)

    def _begin(self) -> None:
        begins = minute_of(self._venue_time.latest()) + _MINUTE
        self._minutes = _Minutes(begins, begins, {symbol: MinuteBuilder(begins) for symbol in self._symbols})


def _built(builder: MinuteBuilder, until: datetime) -> list[MinuteCandle]:
    candles = []
    while builder.oldest_open + _MINUTE <= until:
        candle = builder.close(builder.oldest_open)
        if candle:
            candles.append(candle)
    return candles


def _final(candles: dict[datetime, MinuteCandle], begins: datetime, until: datetime) -> list[MinuteCandle]:
    """The venue's own candles that are final, because a later one was seen. They are forgotten here."""
    newest = max(candles)
    final = [minute for minute in sorted(candles) if minute < newest and minute + _MINUTE <= until]
    taken = [candles.pop(minute) for minute in final]
    return [candle for candle in taken if candle.opened_at >= begins]
