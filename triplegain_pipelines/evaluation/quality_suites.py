"""The expectations of the data-quality report, table by table.

With `data_quality` the only module that imports great_expectations.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from triplegain_pipelines.domain.decisions import Action, Regime
from triplegain_pipelines.domain.quality import GapKind, QualityCode, Settlement
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store import quality

_Expectations: TypeAlias = list[Any]  # great_expectations.expectations.Expectation


def suites_of(
    venue: str, symbols: Sequence[str], account: str, start: datetime, end: datetime
) -> list[tuple[str, str, list[Any]]]:
    """The tables that are checked: name, the query of the rows of [start, end), and what is expected of them."""
    period = (venue, symbols, start, end)
    simulated = venue == SIMULATED_VENUE
    return [
        ("market.candles", quality.candles(*period), _candles()),
        ("market.rollups", quality.rollups(*period), _rollups()),
        ("market.candle_gaps", quality.candle_gaps(*period), _gaps()),
        ("market.data_findings", quality.data_findings(*period), _findings()),
        ("market.top_of_book", quality.top_of_book(*period), _top_of_book()),
        ("market.headlines", quality.headlines(start, end, simulated=simulated), _headlines()),
        ("research.consensus_decisions", quality.decisions(account, start, end), _decisions()),
    ]


def _candles() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *_prices(),
        gxe.ExpectColumnValuesToBeInSet(column="timeframe", value_set=[item.value for item in Timeframe]),
        gxe.ExpectColumnValuesToBeBetween(column="trades", min_value=0),
        gxe.ExpectColumnValuesToNotBeNull(column="source"),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.OUTLIER, description="no candle is more than half as high again as it is low"
        ),
    ]


def _rollups() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        *_prices(),
        gxe.ExpectColumnValuesToBeInSet(column="timeframe", value_set=[item.value for item in ROLLUP_TIMEFRAMES]),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.TOO_MANY_MINUTES,
            description="no roll-up is made of more minutes than its timeframe has",
        ),
    ]


def _prices() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in ("open", "high", "low", "close", "volume")),
        gxe.ExpectColumnValuesToBeBetween(column="close", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0),
        gxe.UnexpectedRowsExpectation(unexpected_rows_query=quality.REPEATED_BAR, description="each bar is there once"),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.OHLC_BROKEN,
            description="the low is the lowest and the high the highest price of each candle",
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.OFF_GRID, description="every candle opens on the grid of its timeframe"
        ),
    ]


def _decisions() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeInSet(column="action", value_set=[item.value for item in Action]),
        gxe.ExpectColumnValuesToBeInSet(column="regime", value_set=[item.value for item in Regime]),
        gxe.ExpectColumnValuesToBeInSet(column="reason_code", value_set=[item.value for item in ReasonCode]),
        gxe.ExpectColumnValuesToBeBetween(column="p_up", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="agreement", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="answers", min_value=0, max_value=6),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.REPEATED_DECISION, description="each moment is decided once"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.NEW_RISK_WITHOUT_QUORUM, description="no new risk without a quorum"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.EXPIRED_BEFORE_MADE, description="no decision expires before it is made"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.CONFIDENCE_IS_NOT_THE_LARGER_SIDE,
            description="the confidence is the larger of p_up and 1 - p_up",
        ),
    ]


def _gaps() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=[kind.value for kind in GapKind]),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.GAP_MISCOUNTED,
            description="each gap counts the candles from its start to its end",
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.GAPS_OVERLAP, description="no missing minute is in two gaps"
        ),
    ]


def _findings() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeInSet(column="code", value_set=[code.value for code in QualityCode]),
        gxe.ExpectColumnValuesToBeInSet(column="settlement", value_set=[item.value for item in Settlement]),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.FINDING_HELD_WRONGLY,
            description="a finding holds its candle exactly where its code says so",
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.FINDING_SETTLED_TOO_EARLY, description="no finding ends before it was made"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.FINDING_WAITS_LONG, description="no candle is held for more than a day"
        ),
    ]


def _top_of_book() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(column="bid_quantity", min_value=0),
        gxe.ExpectColumnValuesToBeBetween(column="ask_quantity", min_value=0),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.BOOK_CROSSED, description="the best bid is below the best ask"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.SPREAD_TOO_WIDE, description="no ask is more than a tenth above its bid"
        ),
    ]


def _headlines() -> _Expectations:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToNotBeNull(column="source"),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.HEADLINE_WITHOUT_TITLE, description="every headline has a title"
        ),
        gxe.UnexpectedRowsExpectation(
            unexpected_rows_query=quality.HEADLINE_FROM_THE_FUTURE,
            description="no headline was published more than an hour after it was seen",
        ),
    ]
