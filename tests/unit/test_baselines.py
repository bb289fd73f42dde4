"""The baseline forecasters."""

import json

import pytest
from seats_data import make_prompt, make_snapshot, market_snapshot

from triplegain_pipelines.agents.baselines import BASELINES
from triplegain_pipelines.agents.offline import _evidence, reply
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.settings import load_settings

pytestmark = pytest.mark.unit

TREND_FOLLOWERS = ("momentum", "breakout", "volatility_scaled_trend")


@pytest.fixture(scope="module")
def rising():
    return _evidence(make_prompt(market_snapshot(0.002)).user_text)


@pytest.fixture(scope="module")
def falling():
    return _evidence(make_prompt(market_snapshot(-0.002)).user_text)


@pytest.fixture(scope="module")
def quiet():
    return _evidence(make_prompt(market_snapshot(0.0)).user_text)


@pytest.mark.parametrize("name", TREND_FOLLOWERS)
def test_trend_followers_follow_a_clear_trend(name, rising, falling):
    """A9: a demo whose baselines never take a side would show an empty pipeline."""
    up, down = BASELINES[name](rising), BASELINES[name](falling)
    assert (up.action, down.action) == (Action.BUY, Action.SELL)
    assert 0.7 < up.p_up_4h <= 0.85
    assert 0.15 <= down.p_up_4h < 0.3
    assert up.stop_loss < up.entry < up.take_profit
    assert down.take_profit < down.entry < down.stop_loss


def test_mean_reversion_keeps_silent_in_a_trend(rising):
    """A9: fading a strong trend is what the rule says it does not do."""
    answer = BASELINES["mean_reversion"](rising)
    assert (answer.p_up_4h, answer.action) == (0.5, Action.HOLD)


def test_mean_reversion_fades_an_extreme_without_trend(quiet):
    """A9: worked by hand: on the upper band (1), RSI 75 (1), ADX 15 (full voice): 0.5 - 0.35 = 0.15."""
    document = json.loads(canonical_json(quiet))
    document["snapshot"]["reference_price"] = 110.0
    document["snapshot"]["timeframes"]["1h"]["indicators"] |= {
        "bollinger_middle": 100.0,
        "bollinger_upper": 110.0,
        "rsi_14": 75.0,
        "adx_14": 15.0,
    }
    answer = BASELINES["mean_reversion"](document)
    assert (answer.p_up_4h, answer.p_up_24h, answer.action) == (0.15, 0.325, Action.SELL)


def test_base_rate_counts_rises(quiet):
    """A9: worked by hand: 3 rises of 4, with 2 of 4 added: 5 of 8."""
    document = json.loads(canonical_json(quiet))
    document["snapshot"]["timeframes"]["4h"]["closes"] = [1.0, 2.0, 3.0, 2.0, 4.0]
    document["snapshot"]["timeframes"]["1d"]["closes"] = [2.0, 1.0]
    answer = BASELINES["base_rate"](document)
    assert answer.p_up_4h == pytest.approx(0.625)
    assert answer.p_up_24h == pytest.approx(0.4)


def test_random_is_drawn_from_the_evidence(rising, falling):
    """X3: a random seat without a seed would make every replay another one."""
    assert BASELINES["random"](rising) == BASELINES["random"](rising)
    assert BASELINES["random"](rising) != BASELINES["random"](falling)


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize("emptied", ["indicators", "closes", "timeframes", "price"])
def test_missing_readings_are_no_opinion(name, emptied, quiet):
    """M4: a null reading during warm-up must neither crash a seat nor push it to a side."""
    document = json.loads(canonical_json(quiet))
    sections = document["snapshot"]["timeframes"]
    for section in sections.values():
        if emptied == "indicators":
            section["indicators"] = dict.fromkeys(section["indicators"])
        elif emptied == "closes":
            section["closes"] = []
    if emptied == "timeframes":
        document["snapshot"]["timeframes"] = {}
    if emptied == "price":
        document["snapshot"] |= {"reference_price": None, "atr": None}
    answer = BASELINES[name](document)
    if emptied == "timeframes" and name != "random":
        assert (answer.p_up_4h, answer.p_up_24h, answer.action) == (0.5, 0.5, Action.HOLD)
    assert 0.15 <= answer.p_up_4h <= 0.85
    assert answer.entry is None or emptied != "price"


def test_configured_baselines_exist():
    """A9: a seat whose baseline has no code would always abstain."""
    assert {seat.baseline for seat in load_settings().models.seats.values()} == set(BASELINES)


def test_offline_model_reads_prompt_and_writes_schema():
    """A9: baselines go the way of a model: text in, text out, tokens counted."""
    prompt = make_prompt(make_snapshot())
    messages = [
        {"role": "system", "content": prompt.system_text},
        {"role": "user", "content": prompt.user_text},
    ]
    written = reply("momentum", messages)
    assert json.loads(written.text)["action"] == "HOLD"
    assert written.input_tokens == (len(prompt.system_text) + len(prompt.user_text)) // 4
    assert written.output_tokens == len(written.text) // 4


def test_offline_model_refuses_what_it_cannot_read():
    """A4: an unknown baseline or a prompt without evidence must fail, not answer 0.5."""
    messages = [{"role": "user", "content": "What will happen?"}]
    with pytest.raises(InputError, match="no offline model"):
        reply("astrology", messages)
    with pytest.raises(InputError, match="evidence"):
        reply("momentum", messages)
