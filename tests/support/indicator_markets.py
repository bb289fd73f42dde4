"""Markets as hypothesis draws them for the indicators: calm, wild, dead, gapping and without volume."""

import numpy as np
import polars as pl
from hypothesis import strategies as st


@st.composite
def markets(draw: st.DrawFn, *, longest: int) -> pl.DataFrame:
    """At most `longest` bars in stretches, each calm, wild or dead; prices from a fraction of a cent to a fortune."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    tick = 10.0 ** draw(st.integers(-6, 2))
    moves = st.sampled_from([0, 0, 1, 30, 500])
    stretches = draw(st.lists(st.tuples(st.integers(1, 300), moves, st.booleans()), min_size=1, max_size=8))
    steps = np.concatenate([generator.integers(-move, move + 1, length) for length, move, _ in stretches])
    spreads = np.concatenate([generator.integers(0, move + 1, (2, length)) for length, move, _ in stretches], axis=1)
    traded = np.concatenate([np.full(length, float(volume)) for length, _, volume in stretches])
    close = 1000 + np.abs(np.cumsum(steps))
    opened = np.concatenate([close[:1], close[:-1]])
    return pl.DataFrame(
        {
            "high": (np.maximum(opened, close) + spreads[0]) * tick,
            "low": np.maximum(np.minimum(opened, close) - spreads[1], 1) * tick,
            "close": close * tick,
            "volume": traded * generator.uniform(0, 1e6, len(close)),
        }
    ).head(longest)
