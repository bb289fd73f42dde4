"""Shadow books: what one seat alone decides, and what its book is worth after its bill. Worked by hand."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from builders import START, decision

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.shadow_books import BookRows, shadow_books, shadow_decisions
from triplegain_pipelines.store.leaderboards import Vote

pytestmark = pytest.mark.unit

DAY = timedelta(days=1)
FORECAST = deterministic_id("forecast", "gpt")


def vote(made: Decision, action: str | None, p_up: float | None, reason: str | None = None) -> Vote:
    return Vote(made.decision_id, FORECAST, action, p_up, None if action is None else 2.5, reason)


def rows(equities: list[float], bill: list[tuple[datetime, Decimal]], trades: int = 3) -> BookRows:
    equity = pl.DataFrame(
        {
            "at": [START + (day + 1) * DAY for day in range(len(equities))],
            "equity": equities,
            "positions_value": 0.0,
            "external_flow": 0.0,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    return BookRows("shadow-1", Decimal(1000), equity, bill, trades)


def test_a_seat_alone_decides_what_it_said() -> None:
    """A6: a book that traded on the consensus would judge all seats alike."""
    made = decision(action=Action.BUY, p_up=0.7)
    (alone,) = shadow_decisions("shadow-1", [made], [vote(made, "SELL", 0.2)])
    assert (alone.account, alone.action, alone.p_up, alone.confidence) == ("shadow-1", Action.SELL, 0.2, 0.8)
    assert (alone.forecast_ids, alone.answers, alone.leverage) == ((FORECAST,), 1, Decimal("2.5"))
    assert alone.decision_id != made.decision_id
    assert (alone.symbol, alone.as_of, alone.atr, alone.regime) == (made.symbol, made.as_of, made.atr, made.regime)


def test_an_abstention_and_an_incomplete_snapshot_hold() -> None:
    """A2: a failed call that became a trade would credit a seat with what it never said."""
    made = decision(action=Action.BUY)
    (silent,) = shadow_decisions("shadow-1", [made], [vote(made, None, None, "SEAT_TIMEOUT")])
    assert (silent.action, silent.reason_code, silent.quorum_met) == (Action.HOLD, ReasonCode.SEAT_TIMEOUT, False)
    blind = decision(action=Action.HOLD, reason_code=ReasonCode.SNAPSHOT_INCOMPLETE)
    (held,) = shadow_decisions("shadow-1", [blind], [vote(blind, "BUY", 0.9)])
    assert (held.action, held.reason_code) == (Action.HOLD, ReasonCode.SNAPSHOT_INCOMPLETE)


def test_a_decision_that_the_seat_was_not_asked_about_is_left_out() -> None:
    """A6: another wording's time is not this one's."""
    made, other = decision(), decision(as_of=START + timedelta(hours=1))
    assert len(shadow_decisions("shadow-1", [made, other], [vote(made, "HOLD", 0.5)])) == 1


def test_the_bill_is_deducted_when_it_falls_due() -> None:
    """Notes 1.1: up 5 % before and down 1 % after a bill of 60 is what the seat would have made."""
    bill = [(START + timedelta(hours=1), Decimal(10)), (START + DAY + timedelta(hours=1), Decimal(50))]
    series = UUID(int=1)
    book = shadow_books({series: rows([1030.0, 1050.0], bill)}, START, START + 2 * DAY, 1)[str(series)]
    assert [worth for _, worth in book.curve] == [1000.0, 1020.0, 990.0]
    assert (book.final_equity, book.bill_usd, book.trades) == (Decimal(990), Decimal(60), 3)
    assert book.gross_return == pytest.approx(0.05)
    assert book.net_return == pytest.approx(-0.01)
    assert book.max_drawdown == pytest.approx(30 / 1020)
    assert book.deflated_sharpe is None


def test_the_more_was_tried_the_less_a_good_book_proves() -> None:
    """Notes 2.3: of a hundred tries without an edge the best shows a fine Sharpe ratio."""
    generator = np.random.default_rng(3)
    books = {}
    for number in range(6):
        worth = 1000 * np.cumprod(1 + generator.normal(0.002 if number == 0 else 0.0, 0.01, 200))
        books[UUID(int=number)] = rows(worth.tolist(), [])
    few, many = (shadow_books(books, START, START + 200 * DAY, trials)[str(UUID(int=0))] for trials in (6, 200))
    assert few.deflated_sharpe is not None
    assert many.deflated_sharpe is not None
    assert few.sharpe == many.sharpe
    assert 0 < many.deflated_sharpe < few.deflated_sharpe < 1


def test_a_book_without_marks_has_its_cash() -> None:
    """An account that never traded has no marks, and still pays for its calls."""
    series = UUID(int=1)
    book = shadow_books({series: rows([], [(START, Decimal(5))], 0)}, START, START + DAY, 6)[str(series)]
    assert (book.final_equity, book.net_return, book.sharpe) == (Decimal(995), pytest.approx(-0.005), None)
