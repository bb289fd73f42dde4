"""The whole set for many series, bar by bar as they close: what `batch` would give, without the bars before.

One state of fixed size for each series takes a closed bar and gives every output. It is the state in which `batch`
leaves a history, so a stream can begin after one, be stored, and go on elsewhere, always with the same bits.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.batch import columns_of, new_state, warm_ups, workspace
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION, OUTPUTS
from triplegain_pipelines.market.series import CandleSeries

SeriesKey = tuple[str, Timeframe]

_NEVER = np.iinfo(np.int64).min


class ClosedBar(NamedTuple):
    """A bar that is complete; `opened_at` in microseconds since the Unix epoch, UTC."""

    symbol: str
    timeframe: Timeframe
    opened_at: int
    high: float
    low: float
    close: float
    volume: float


class IndicatorStream:
    """The states of some series. One thread at a time may give it bars."""

    def __init__(self, keys: Iterable[SeriesKey]) -> None:
        self._places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        self._states: Array = np.array([new_state() for _ in self._places])
        self._seen: npt.NDArray[np.int64] = np.full(len(self._places), _NEVER, np.int64)
        self._work = workspace()

    @classmethod
    def after(cls, histories: Sequence[CandleSeries]) -> IndicatorStream:
        """A stream that goes on after the last bar of each history.

        Raises:
            DataError: a history holds a NaN or an infinite value.
        """
        stream = cls((one.symbol, one.timeframe) for one in histories)
        for one in histories:
            if len(one):
                place = stream._places[one.symbol, one.timeframe]
                columns_of(Bars(one.high, one.low, one.close, one.volume), state=stream._states[place])
                stream._seen[place] = one.opened_at[-1]
        return stream

    @property
    def keys(self) -> tuple[SeriesKey, ...]:
        """The series, in the order they were given."""
        return tuple(self._places)

    def take(self, bars: Sequence[ClosedBar]) -> Array:
        """Every output after each bar: bars x `registry.OUTPUTS`, NaN in the warm-up and where there is no value.

        A series may have several of the bars, oldest first. Bars that are missing between two stay missing: the next
        one follows the last, as it does in a batch.

        Raises:
            DataError: the stream does not know the series, the bar opens no later than the one before it, or holds a
                NaN or an infinite value. No bar was taken then.
        """
        from triplegain_pipelines.indicators.kernels import advance

        places = self._accept(bars)
        values = np.array([(bar.high, bar.low, bar.close, bar.volume) for bar in bars]).reshape(-1, 4).T.copy()
        if not np.isfinite(values).all():
            bar = bars[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])]
            msg = f"a bar of {bar.symbol} {bar.timeframe} at {bar.opened_at} holds NaN or infinity; repair or drop it"
            raise DataError(msg)
        high, low, close, volume = values
        out = np.empty((len(bars), len(OUTPUTS), 1))
        for row, place in enumerate(places):
            one = slice(row, row + 1)
            state = self._states[place]
            advance(state, high[one], low[one], close[one], volume[one], warm_ups(), self._work, out[row])
            self._seen[place] = bars[row].opened_at
        return out[:, :, 0]

    def dump(self) -> bytes:
        """The states and what they belong to, for `load`."""
        memory = io.BytesIO()
        np.savez(
            memory,
            version=np.array(INDICATORS_VERSION),
            symbols=np.array([symbol for symbol, _ in self._places], str),
            timeframes=np.array([timeframe.value for _, timeframe in self._places], str),
            seen=self._seen,
            states=self._states,
        )
        return memory.getvalue()

    @classmethod
    def load(cls, stored: bytes) -> IndicatorStream:
        """The stream that was dumped.

        Raises:
            DataError: it was dumped with other indicators, or is no such dump.
        """
        try:
            with np.load(io.BytesIO(stored), allow_pickle=False) as found:
                version = str(found["version"])
                keys = zip(found["symbols"].tolist(), map(Timeframe, found["timeframes"].tolist()), strict=True)
                stream, seen, states = cls(keys), found["seen"], found["states"]
        except (ValueError, KeyError, OSError, BadZipFile) as error:
            msg = f"this is no stored stream of indicators ({error}); make one from the candles"
            raise DataError(msg) from error
        if version != INDICATORS_VERSION or states.shape != stream._states.shape:
            msg = f"the stored stream is of {version}, this is {INDICATORS_VERSION}; make one from the candles"
            raise DataError(msg)
        stream._seen, stream._states = seen, states
        return stream

    def _accept(self, bars: Sequence[ClosedBar]) -> list[int]:
        places: list[int] = []
        newest: dict[int, int] = {}
        for bar in bars:
            place = self._places.get((bar.symbol, bar.timeframe))
            if place is None:
                msg = f"the stream has no series {bar.symbol} {bar.timeframe}; name it when the stream is made"
                raise DataError(msg)
            if bar.opened_at <= newest.get(place, self._seen[place]):
                msg = f"a bar of {bar.symbol} {bar.timeframe} at {bar.opened_at} opens no later than the one before it"
                raise DataError(msg)
            newest[place] = bar.opened_at
            places.append(place)
        return places
