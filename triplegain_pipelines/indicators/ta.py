"""TA-Lib's functions over arrays, loaded when first used."""

import inspect
from functools import cache
from types import SimpleNamespace
from typing import Any


@cache
def ta() -> Any:  # noqa: ANN401 - a C extension without types
    """TA-Lib's functions by name: `ta().RSI(closes, 14)`.

    Taken out of the wrapper that looks for pandas and polars series in every call: on a window of 400 bars that search
    costs as much as the indicator.
    """
    import talib

    return SimpleNamespace(**{name: inspect.unwrap(getattr(talib, name)) for name in talib.get_functions()})
