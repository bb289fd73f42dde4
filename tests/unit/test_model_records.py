"""Files of what other people's models did: what of them is believed, and what is refused."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.recorded import RecordedAction
from triplegain_pipelines.market.files.model_records import RecordsKind, read_model_records
from triplegain_pipelines.market.files.portfolio_steps import read_portfolio_steps

pytestmark = pytest.mark.unit

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(content: str | bytes) -> Path:
        path = tmp_path / "records"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def step(number, day, action, symbol, amount, btc, cash, model="m"):
    line = {"model": model, "date": day, "id": number, "positions": {"BTC-USDT": btc, "CASH": cash}}
    return line if action is None else line | {"this_action": {"action": action, "symbol": symbol, "amount": amount}}


def text(*lines):
    return "\n".join(json.dumps(line) for line in lines)


START = step(0, "2025-11-01", None, None, 0, 0.0, 50000.0)
BOUGHT = step(1, "2025-11-02", "buy_crypto", "BTC-USDT", 0.2, 0.2, 28000.0)
IDLE = step(2, "2025-11-03", "no_trade", "", 0, 0.2, 28000.0)
SOLD = step(3, "2025-11-04", "sell_crypto", "BTC-USDT", 0.1, 0.1, 40000.0)


def test_the_real_file_is_consistent_to_the_last_line(recorded_data: Path) -> None:
    """Issue 5, point 5: all 242 steps follow from each other, and every trade of a day has one price."""
    found = read_model_records(recorded_data / "llm" / "llm_crypto_positions_2025-11.jsonl")
    assert (found.kind, found.rows, len({one.model for one in found.steps})) == (RecordsKind.POSITIONS, 242, 6)
    assert sum(one.overwritten for one in found.steps) == 28
    assert sum(one.action is RecordedAction.NONE for one in found.steps) == 34
    assert all((one.price is None) == (one.symbol is None) for one in found.steps)


def test_the_price_that_the_cash_tells_is_the_markets(recorded_data: Path) -> None:
    """A7: a price read out of cash must be a market's. Kraken's first trade of 2025-11-11 was at 106,021.6."""
    steps = read_model_records(recorded_data / "llm" / "llm_crypto_positions_2025-11.jsonl").steps
    found = {float(s.price) for s in steps if s.price and s.symbol == "BTC/USDT" and f"{s.day}" == "2025-11-11"}
    answer = json.loads((recorded_data / "raw" / "kraken" / "kraken_rest_ohlc.json").read_text())["result"]
    candles = next(rows for name, rows in answer.items() if name != "last")
    midnight = next(float(row[1]) for row in candles if row[0] == 1762819200)
    assert found
    assert all(abs(price / midnight - 1) < 0.001 for price in found)


def test_the_real_headline_scores_are_read(recorded_data: Path) -> None:
    """Issue 5, point 5: 100 headlines, each with its time, score and reason."""
    found = read_model_records(recorded_data / "llm" / "llm_headline_scores_2025-07.csv")
    assert (found.kind, found.rows) == (RecordsKind.HEADLINE_SCORES, 100)
    assert {one.score for one in found.scores} == {-1.0, -0.5, 0.0, 0.5, 1.0}


def test_prose_is_refused_with_its_reason(recorded_data: Path) -> None:
    """A7: a probability that we read out of a model's prose would be ours, and scored as the model's."""
    with pytest.raises(InputError, match="in prose; no field of it is a forecast"):
        read_model_records(recorded_data / "llm" / "llm_crypto_messages_2025-11.jsonl.gz")


def test_a_step_has_the_price_that_its_cash_tells() -> None:
    """Issue 5, point 5: 22,000 for 0.2 is 110,000; a day without a trade has no price."""
    steps = read_portfolio_steps(text(START, BOUGHT, IDLE, SOLD))
    assert [one.price for one in steps] == [None, Decimal(110_000), None, Decimal(120_000)]
    assert [one.action.value for one in steps] == ["START", "BUY", "NONE", "SELL"]


def test_a_step_that_was_taken_again_overwrites_what_came_after() -> None:
    """Issue 5, point 5: a portfolio that kept both tries would hold coins that the model never had."""
    again = step(1, "2025-11-05", "buy_crypto", "BTC-USDT", 0.1, 0.1, 40000.0)
    steps = read_portfolio_steps(text(START, BOUGHT, IDLE, again))
    assert [one.overwritten for one in steps] == [False, True, True, False]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (BOUGHT | {"id": 2}, "does not follow the step before"),
        (BOUGHT | {"date": "2025-10-31"}, "before that of line 1"),
        (BOUGHT | {"date": "2. 11."}, "must be a day"),
        (BOUGHT | {"date": "1999-01-01"}, "must be a day"),
        (BOUGHT | {"model": "x" * 61}, "its model must be"),
        (BOUGHT | {"model": "a\u202eb"}, "its model must be"),
        (BOUGHT | {"id": 0.5}, "whole number"),
        (BOUGHT | {"more": 1}, "and nothing else"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2, "CASH": 60000.0}}, "cash moved against"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.3, "CASH": 28000.0}}, "its action says"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2, "ETH-USDT": 1, "CASH": 28000.0}}, "moved 1 ETH/USDT"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2, "CASH": -1}}, "0 or numbers from"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2, "CASH": float("nan")}}, "0 or numbers from"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2, "CASH": 1e300}}, "0 or numbers from"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2, "CASH": True}}, "0 or numbers from"),
        (BOUGHT | {"positions": {"BTC-USDT": 0.2}}, "must be an object with CASH"),
        (BOUGHT | {"positions": {"../x": 0.2, "CASH": 28000.0}}, "like BTC-USDT"),
        (step(1, "2025-11-02", "short", "BTC-USDT", 0.2, 0.2, 28000.0), "its action must be one of"),
        (step(1, "2025-11-02", ["buy_crypto"], "BTC-USDT", 0.2, 0.2, 28000.0), "its action must be one of"),
        (step(1, "2025-11-02", "buy_crypto", "BTC-USDT", 0, 0.0, 50000.0), "an amount of 0"),
        (step(1, "2025-11-02", "buy_crypto", None, 0.2, 0.2, 28000.0), "like BTC-USDT"),
        (step(1, "2025-11-02", "no_trade", "BTC-USDT", 0, 0.0, 50000.0), "names a symbol"),
        (step(1, "2025-11-02", "no_trade", "", 0, 0.0, 49000.0), "cash changed without a trade"),
        (START | {"model": "n", "positions": {"BTC-USDT": 1, "CASH": 0}}, "what they cost is not known"),
        ([], "it must have|no JSON object"),
    ],
)
def test_a_line_that_does_not_hold_is_refused(changed: object, why: str) -> None:
    """I2: one wrong number in a stranger's file would become a model's result. The message names the line."""
    with pytest.raises(InputError, match=rf"^line 2: .*({why})"):
        read_portfolio_steps(text(START, changed))


def test_two_prices_of_one_day_are_refused() -> None:
    """A7: where two models paid differently on a day one number is wrong, and nobody could say which."""
    start = step(0, "2025-11-01", None, None, 0, 0.0, 50000.0, model="n")
    dearer = step(1, "2025-11-02", "buy_crypto", "BTC-USDT", 0.2, 0.2, 27900.0, model="n")
    with pytest.raises(InputError, match=r"line 4: its price of 110500 for BTC/USDT is not that of line 2, 110000"):
        read_portfolio_steps(text(START, BOUGHT, start, dearer))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[" * 100_000,
        '{"model": 1e999999999999}',
        b"\xff\xfe{\x00",
        b"PAR1 nothing",
        "timestamp,headline,score,reason\n",
        "timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,x,2,y",
        "timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,x,nan,y",
        "timestamp,headline,score,reason\n2025-07-17 06:10:18,x,1,y",
        "timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,x,1,y,z",
        "timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,x,1",
        'timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,"x,1,y',
        "timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,,1,y",
        gzip.compress(b"0" * 1000, mtime=0),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(write: Write, content: str | bytes) -> None:
    """I2: an unfriendly file is one clear line and exit code 1, never a traceback."""
    with pytest.raises(InputError, match=r"^records: [^\n]+$"):
        read_model_records(write(content))


def test_text_of_strangers_is_made_plain(write: Write) -> None:
    """S5: markup, links and hidden signs of a headline go nowhere."""
    row = (
        "timestamp,headline,score,reason\n2025-07-17 06:10:18+00:00,<b>Up</b>\u200b https://x.example now,1,<i>why</i>"
    )
    found = read_model_records(write(row)).scores[0]
    assert (found.headline, found.reason) == ("Up now", "why")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
            max_leaves=4,
        ),
        min_size=4,
        max_size=4,
    )
)
def test_nothing_but_an_input_error_comes_out(values: list[object]) -> None:
    """I2: whatever stands in the fields, the reader answers or refuses; it does not crash."""
    line = dict(zip(("model", "date", "id", "positions"), values, strict=True))
    for lines in ((line,), (START, BOUGHT | {"this_action": values[0]}), (START, BOUGHT | {"positions": values[3]})):
        with suppress(InputError):
            read_portfolio_steps(text(*lines))
