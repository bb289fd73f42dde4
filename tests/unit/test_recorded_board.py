"""Recorded portfolios on the board's terms: calls, what came of them, and what is not said of them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from triplegain_pipelines.domain.recorded import RecordedAction, RecordedScore, RecordedStep
from triplegain_pipelines.evaluation.recorded_calls import NEXT_DAY, SAME_DAY, day_prices, direction_calls, settle_calls
from triplegain_pipelines.evaluation.recorded_limits import what_they_allow, what_they_do_not_allow
from triplegain_pipelines.evaluation.recorded_positions import last_worth, realised_results
from triplegain_pipelines.evaluation.recorded_records import score_records
from triplegain_pipelines.evaluation.recorded_scores import compare_scores
from triplegain_pipelines.market.files.model_records import read_model_records

pytestmark = pytest.mark.unit

D = date(2025, 11, 1)
BTC, ETH = "BTC/USDT", "ETH/USDT"
COST = Decimal("0.001")


def step(day, signed, price, *, model="m", symbol=BTC, overwritten=False, held="0", cash="1000"):
    """`signed`: bought, or sold where negative."""
    return RecordedStep(
        line=1,
        model=model,
        day=D + timedelta(days=day),
        step=1,
        action=RecordedAction.BUY if signed > 0 else RecordedAction.SELL,
        symbol=symbol,
        amount=abs(Decimal(signed)),
        price=Decimal(price),
        cash=Decimal(cash),
        holdings={symbol: Decimal(held)},
        overwritten=overwritten,
    )


def start(model="m"):
    return RecordedStep(
        1, model, D, 0, RecordedAction.START, None, Decimal(0), None, Decimal(1000), {}, overwritten=False
    )


def test_trades_of_a_day_are_netted_to_one_call():
    """A7: three buys of one coin on one day are one opinion, and counting them as three would triple the evidence."""
    steps = [step(1, 3, 10), step(1, -1, 10), step(1, -1, 10), step(2, 1, 10), step(2, -1, 10), step(3, -1, 10)]
    assert [(one.day.day, one.up) for one in direction_calls(steps)] == [(2, True), (4, False)]


def test_overwritten_steps_are_calls_but_no_positions():
    """Issue 5, point 5: the model did decide so, but the portfolio never held it."""
    steps = [step(1, 1, 10), step(2, -1, 20, overwritten=True)]
    assert len(direction_calls(steps)) == 2
    assert realised_results(steps, COST) == []


def test_a_call_is_settled_from_the_next_days_price():
    """B2: the record's own price was known to the model when it called; entry there would be look-ahead."""
    steps = [step(1, 1, 10), step(2, 1, 20, model="n"), step(3, 1, 15, model="n")]
    calls = [one for one in direction_calls(steps) if one.model == "m"]
    prices = day_prices(steps)
    assert [one.move for one in settle_calls(calls, prices, NEXT_DAY)] == [-0.25]
    assert [one.move for one in settle_calls(calls, prices, SAME_DAY)] == [1.0]


def test_a_missing_price_settles_nothing():
    """M4: the price of another day in the place of a missing one would settle another call."""
    steps = [step(1, 1, 10), step(2, 1, 20, model="n"), step(4, 1, 15, model="n")]
    assert settle_calls(direction_calls(steps)[:1], day_prices(steps), NEXT_DAY) == []


def test_a_call_of_down_gains_when_the_price_falls():
    """A7: a sale before a fall is right; scored as a buy it would be wrong."""
    steps = [step(1, -1, 10), step(2, 1, 20, model="n"), step(3, 1, 15, model="n")]
    settled = settle_calls(direction_calls(steps)[:1], day_prices(steps))[0]
    assert (settled.went_up, settled.call.up, settled.gained) == (False, False, 0.25)


def test_sales_are_measured_against_the_average_cost_with_both_fees():
    """A7: 2 bought at 10 and at 20 cost 15 each; 1 sold at 30 makes 15 less the fees of both sides."""
    steps = [step(1, 1, 10), step(2, 1, 20), step(3, -1, 30)]
    result = realised_results(steps, COST)[0]
    assert result.invested == Decimal("15.015")
    assert result.profit == 30 * (1 - COST) - Decimal("15.015")


def test_worth_is_told_only_where_every_price_is_known():
    """M4: a portfolio valued at an old price would hide the fall since."""
    steps = [step(1, 2, 10, held="2"), step(2, 1, 5, symbol=ETH, held="1", cash="900")]
    prices = day_prices(steps)
    known = last_worth(steps, prices)
    assert (known.day.day, known.equity) == (3, 905)
    held = [step(1, 2, 10, held="2"), step(2, 1, 5, symbol=ETH, held="1", cash="900")]
    held[1] = RecordedStep(**{**as_fields(held[1]), "holdings": {BTC: Decimal(2), ETH: Decimal(1)}})
    assert last_worth(held, prices).day.day == 2


def as_fields(one):
    return {name: getattr(one, name) for name in RecordedStep.__dataclass_fields__}


def test_a_model_that_only_buys_is_not_tested_against_buying():
    """A7: the difference of a thing from itself is zero, and its p value would be nonsense."""
    days = range(1, 15)
    steps = [start(), *(step(day, 1, 10 + day % 3) for day in days)]
    row = score_records(steps, COST).rows[0]
    assert (row.ups, row.downs, row.against_up) == (14, 0, None)
    assert row.hits.settled == 12
    assert row.hits.share == row.hits.rose


@pytest.fixture(scope="module")
def real(recorded_data: Path):
    return read_model_records(recorded_data / "llm" / "llm_crypto_positions_2025-11.jsonl").steps


def test_the_six_recorded_models_on_the_board(real):
    """Issue 5, point 5: the real records, scored. 100 of 189 calls settle, and none is worth a rank."""
    board = score_records(real, Decimal("0.0015"))
    assert [row.model for row in board.rows] == sorted({one.model for one in real})
    assert sum(row.ups + row.downs for row in board.rows) == 189
    assert sum(row.hits.settled for row in board.rows) == 100
    assert all(row.hits.interval.low < 0.5 < row.hits.interval.high for row in board.rows)
    assert all(row.hits.independent <= row.hits.settled for row in board.rows)
    assert sum(row.sales for row in board.rows) == 46
    assert board.needed == 3360
    assert all(row.gate.startswith("cutoff not known, so never ranked; not enough data: ") for row in board.rows)


def test_the_limits_are_said_from_the_fields(real):
    """A7, issue 5, point 5: a board of 100 calls without its limits would pass for a ranking of models."""
    board = score_records(real, Decimal("0.0015"))
    said = " ".join([*what_they_allow(board, real), *what_they_do_not_allow(board, real)])
    for expected in (
        "242 steps of 6 models, 2025-11-01 to 2025-11-15, come to 189 calls",
        "100 of 189 settled",
        "0.15% of fee and slippage",
        "no Brier score, no log loss and no calibration",
        "34 steps traded nothing",
        "96 of 140 symbols and days",
        "28 of 242 steps were overwritten",
        "on 1 of 14 days each of 6 models",
        "knowledge cutoffs are not recorded",
        "What failed and was left out is not here",
    ):
        assert expected in said


def score(headline, value, minute=0):
    return RecordedScore(1, datetime(2025, 7, 17, 6, minute, tzinfo=UTC), headline, value, "")


def test_agreement_is_measured_against_chance():
    """A5: two scorers that call nearly everything good agree often, and know nothing of each other."""
    scores = [score("a", 1.0), score("b", 0.5), score("c", -1.0), score("d", 0.5), score("a", -1.0, 9)]
    found = compare_scores(scores, {"a": 0.8, "b": 0.3, "c": 0.2, "d": -0.5}.__getitem__)
    assert (found.headlines, found.repeated) == (4, 1)
    assert found.agreement == 0.5
    assert found.by_chance == 0.75 * 0.75 + 0.25 * 0.25
    assert found.kappa == pytest.approx((0.5 - 0.625) / 0.375)
    assert dict(found.sides) == {("good", "good"): 2, ("good", "bad"): 1, ("bad", "good"): 1}


def test_a_scorer_that_never_changes_has_no_correlation():
    """A5: a correlation of constants is no number."""
    found = compare_scores([score("a", 0.0), score("b", 0.0)], lambda _: 0.01)
    assert (found.agreement, found.kappa, found.rank_correlation) == (1.0, None, None)
