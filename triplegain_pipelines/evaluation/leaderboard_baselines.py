"""Plain baselines: forecasts that anybody can make, from nothing but the outcomes that had settled before.

A model that cannot beat all of them adds nothing. The last one knows all outcomes and can only be a yardstick: no
forecaster that says the same every time can have a better Brier score, so nobody is ranked who does not beat it.
"""

import polars as pl

ALWAYS_EVEN = "always 50 %"
ALWAYS_UP = "always up"
BASE_RATE = "base rate known before"
PERSISTENCE = "persistence"
MOMENTUM = "momentum of a day"
BEST_CONSTANT = "best constant in hindsight"

MEANINGS = {
    ALWAYS_EVEN: "says 50 % every time: a Brier score of 0.25",
    ALWAYS_UP: "says 55 % every time: right as often as the market rises",
    BASE_RATE: "how often the symbol's settled forecasts rose before, shrunk to 50 %",
    PERSISTENCE: "how often it rose after a move like the last settled one",
    MOMENTUM: "how often it rose after a day like the last settled one",
    BEST_CONSTANT: "the share of rises in these very events, which nobody could know before: a yardstick",
}

_UP = 0.55
_HALF_COINS = 2.0  # rises, and as many falls, that are added to what was seen: a few events say little


def plain_baselines(
    outcomes: pl.DataFrame, events: pl.DataFrame, horizon_hours: int, longer_hours: int
) -> pl.DataFrame:
    """What each plain baseline would have said at `events`.

    Args:
        outcomes: in the columns of store/outcomes.OUTCOMES, of the events and of as long before as there are.
        events: `symbol` and `as_of`, each once.
        horizon_hours: of the forecasts.
        longer_hours: of the moves that the momentum baseline looks at.

    Returns:
        `forecaster`, `symbol`, `as_of`, `p_up`, of all but the best constant.
    """
    places = events.select("symbol", "as_of").sort("as_of", "symbol")
    columns = ("symbol", "as_of", "settled_at", "went_up")
    settled = outcomes.filter(pl.col("horizon_hours") == horizon_hours).select(columns)
    longer = outcomes.filter(pl.col("horizon_hours") == longer_hours).select(columns).drop("as_of")
    said = {
        ALWAYS_EVEN: places.with_columns(p_up=pl.lit(0.5)),
        ALWAYS_UP: places.with_columns(p_up=pl.lit(_UP)),
        BASE_RATE: _share_after(settled, places, None),
        PERSISTENCE: _share_after(settled, places, settled.drop("as_of")),
        MOMENTUM: _share_after(settled, places, longer),
    }
    return pl.concat(
        [frame.select(pl.lit(name).alias("forecaster"), "symbol", "as_of", "p_up") for name, frame in said.items()]
    )


def _share_after(settled: pl.DataFrame, places: pl.DataFrame, moves: pl.DataFrame | None) -> pl.DataFrame:
    """The share of rises after the same state, as far as it had settled by then, shrunk to one half.

    The state of a place is the direction of the newest of `moves` that had settled; without `moves` there is one state.
    """
    seen = (
        _with_state(settled, moves)
        .sort("settled_at")
        .with_columns(
            rises=pl.col("went_up").cast(pl.Float64).cum_sum().over("symbol", "state"),
            count=pl.col("went_up").cum_count().over("symbol", "state").cast(pl.Float64),
        )
        .select("symbol", "state", "settled_at", "rises", "count")
    )
    return (
        _with_state(places, moves)
        .sort("as_of")
        .join_asof(seen, left_on="as_of", right_on="settled_at", by=["symbol", "state"], check_sortedness=False)
        .with_columns(
            p_up=(pl.col("rises").fill_null(0.0) + _HALF_COINS) / (pl.col("count").fill_null(0.0) + 2 * _HALF_COINS)
        )
        .select("symbol", "as_of", "p_up")
    )


def _with_state(places: pl.DataFrame, moves: pl.DataFrame | None) -> pl.DataFrame:
    if moves is None:
        return places.with_columns(state=pl.lit("any"))
    newest = moves.sort("settled_at").rename({"settled_at": "moved_at", "went_up": "moved_up"})
    found = places.sort("as_of").join_asof(
        newest, left_on="as_of", right_on="moved_at", by="symbol", check_sortedness=False
    )
    state = pl.when(pl.col("moved_up")).then(pl.lit("up")).otherwise(pl.lit("down"))
    return found.with_columns(state=pl.when(pl.col("moved_up").is_null()).then(pl.lit("none")).otherwise(state)).drop(
        "moved_at", "moved_up"
    )
