"""Which minutes of a stream are whole, told from events in an order that the test says."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import PermanentError, TransientError
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.market.streams.adapter import Channel
from triplegain_pipelines.market.streams.events import CandleSeen, Connected, Disconnected, Event, TradesSeen
from triplegain_pipelines.market.trades import MinuteCandle, Trade
from triplegain_pipelines.services.follower import Follower
from triplegain_pipelines.settings import Environment, load_settings

pytestmark = pytest.mark.unit

BTC, ETH = "BTC/USDT", "ETH/USDT"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
RULES = load_settings(Environment(profile="paper")).market.stream
PRICES = "main/prices"


class Script:
    """A stream that tells what it is given, one connection after the other, and then stands still.

    Args:
        connections: what each tells, the error with which it ends last.
    """

    channels = (Channel.PRICES,)

    def __init__(self, *connections: Sequence[Event | Exception]) -> None:
        self._connections = list(connections)
        self.finished = asyncio.Event()

    def endpoint(self, channel: Channel) -> str:
        """As the real one names it."""
        return f"main/{channel}"

    async def follow(self, _channel: Channel, seen: Callable[[Event], None]) -> None:
        """Tell what the next connection tells."""
        steps = self._connections.pop(0) if self._connections else ()
        for step in steps:
            if isinstance(step, Exception):
                raise step
            seen(step)
        if not self._connections:
            self.finished.set()
        await asyncio.Event().wait()


class VenueAhead:
    """A venue's clock so far ahead of ours, at most."""

    def __init__(self, clock: ReplayClock, ahead: timedelta) -> None:
        self._clock, self._ahead = clock, ahead

    def latest(self) -> datetime:
        """The time there."""
        return self._clock.now() + self._ahead


def followed(*connections: Sequence[Event | Exception], ahead: timedelta = timedelta(0)) -> Follower:
    """A follower after it has seen all of this; our clock stands at noon."""
    clock = ReplayClock(NOON)
    script = Script(*connections)
    rules = RULES.model_copy(update={"first_wait_seconds": 0.001, "longest_wait_seconds": 0.002})
    follower = Follower(script, (BTC, ETH), rules, clock, VenueAhead(clock, ahead), 0)  # type: ignore[arg-type]

    async def whole() -> None:
        task = asyncio.create_task(follower.follow(Channel.PRICES))
        async with asyncio.timeout(5):
            await script.finished.wait()
        assert not task.done()
        task.cancel()

    asyncio.run(whole())
    return follower


def connected(at: datetime = NOON) -> Connected:
    return Connected(PRICES, at)


def trades(*moments: datetime, symbol: str = BTC, price: float = 10.0) -> TradesSeen:
    """A trade at each moment; its id is the moment."""
    return TradesSeen(symbol, tuple(Trade(str(one.timestamp()), one, price, 1.0, "buy") for one in moments))


def candle(opened_at: datetime, close: float = 10.0, symbol: str = BTC) -> CandleSeen:
    return CandleSeen(symbol, MinuteCandle(opened_at, 10.0, 12.0, 9.0, close, 1.0, None))


def times(follower: Follower, until: datetime, symbol: str = BTC) -> list[datetime]:
    """Opening times of the minutes told as closed."""
    return [one.opened_at for one in follower.closed_minutes(until)[symbol]]


def test_a_minute_that_began_before_the_connection_is_not_whole() -> None:
    """M2: the first trades of the minute are missing, and its candle would look as good as any."""
    seen = [connected(), trades(NOON + 5 * SECOND, NOON + MINUTE, NOON + 2 * MINUTE)]
    assert times(followed(seen), NOON + 2 * MINUTE) == [NOON + MINUTE]


def test_minutes_begin_by_the_clock_of_the_venue() -> None:
    """M2: where the venue is a minute ahead, the minute that is new to us began there before the connection."""
    seen = [connected(), trades(NOON + MINUTE, NOON + 2 * MINUTE, NOON + 3 * MINUTE)]
    assert times(followed(seen, ahead=61 * SECOND), NOON + 3 * MINUTE) == [NOON + 2 * MINUTE]


def test_a_break_takes_the_minutes_around_it_along() -> None:
    """M2: what was traded during the break is in no candle of ours."""
    first = [
        connected(),
        trades(NOON + MINUTE, NOON + 2 * MINUTE),
        Disconnected(PRICES, NOON, "cut"),
        TransientError("cut"),
    ]
    second = [connected(), trades(NOON + 10 * SECOND, NOON + MINUTE, NOON + 2 * MINUTE)]
    follower = followed(first)
    assert follower.closed_minutes(NOON + 9 * MINUTE) == {}
    follower = followed(first, second)
    assert times(follower, NOON + 2 * MINUTE) == [NOON + MINUTE]
    assert follower.channels[Channel.PRICES].reconnects == 1


def test_a_dead_connection_closes_no_minute() -> None:
    """M2: until the silence is noticed the connection seems to stand, and the end of the minute did not come."""
    follower = followed([connected(), trades(NOON + MINUTE, NOON + MINUTE + 30 * SECOND)])
    assert times(follower, NOON + 5 * MINUTE) == []
    alive = followed([connected(), trades(NOON + MINUTE), trades(NOON + 2 * MINUTE, symbol=ETH)])
    assert times(alive, NOON + 5 * MINUTE) == [NOON + MINUTE]


def test_a_minute_is_told_once_and_a_late_trade_with_it() -> None:
    """M2: a trade that comes after its minute was stored makes that candle wrong, which must be known."""
    follower = followed([connected(), trades(NOON + MINUTE, NOON + 2 * MINUTE)])
    assert times(follower, NOON + 2 * MINUTE) == [NOON + MINUTE]
    assert times(follower, NOON + 2 * MINUTE) == []
    follower._see(Channel.PRICES, trades(NOON + MINUTE + SECOND))
    assert follower.take_late() == {(BTC, NOON + MINUTE)}
    assert follower.take_late() == set()


def test_a_minute_without_a_trade_has_no_candle() -> None:
    """M2, M3: nobody traded, or nothing was sent: only the venue can tell which."""
    follower = followed([connected(), trades(NOON + MINUTE, NOON + 3 * MINUTE)])
    assert times(follower, NOON + 3 * MINUTE) == [NOON + MINUTE]


def test_the_venues_own_candle_is_final_when_a_later_one_came() -> None:
    """M2: the forming candle of the last minute may still change; the first was not followed from its beginning."""
    minutes = [NOON + number * MINUTE for number in range(4)]
    states = [candle(minutes[1], 9.5), candle(minutes[1], 10.5)]
    follower = followed([connected(), candle(minutes[0]), *states, candle(minutes[2]), candle(minutes[3])])
    follower._see(Channel.PRICES, candle(minutes[3] + MINUTE, symbol=ETH))  # of another symbol: it proves nothing
    told = follower.closed_minutes(minutes[3] + MINUTE)[BTC]
    assert [(one.opened_at, one.close) for one in told] == [(minutes[1], 10.5), (minutes[2], 10.0)]


def test_refusals_and_failures_are_told_and_tried_again() -> None:
    """M2: a channel that gives up for good, or says that it stands when it does not."""
    follower = followed([PermanentError("no such symbol")], [TransientError("busy")])
    state = follower.channels[Channel.PRICES]
    assert (state.connected_at, state.detail, state.reconnects) == (None, "busy", 0)
    state = followed([PermanentError("no such symbol")], [connected(), trades(NOON)]).channels[Channel.PRICES]
    assert (state.connected_at, state.detail, state.last_message_at) == (NOON, "", NOON)


def test_findings_are_kept_until_they_are_recorded() -> None:
    """M4: while the database is away, what was found must not be forgotten."""
    finding = Finding("main", BTC, NOON, QualityCode.CROSSED_BOOK, "stream", {})
    follower = followed([connected(), finding])
    assert follower.findings == (finding,)
    follower.forget(follower.findings)
    assert follower.findings == ()
