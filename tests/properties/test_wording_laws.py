"""Laws of the check of wordings: whatever a seat returns, what is shown has the numbers and names of the facts."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_inputs import make_inputs, make_trade

from triplegain_pipelines.evaluation.happenings import tell_breaker, tell_stop
from triplegain_pipelines.evaluation.narratives import narrate
from triplegain_pipelines.evaluation.report_view import shown_facts
from triplegain_pipelines.evaluation.rewording import Fact, Writer, newest_groups, reword
from triplegain_pipelines.evaluation.same_facts import fault_of, plain
from triplegain_pipelines.store.happenings import OpenedBreaker, TakenStop

pytestmark = pytest.mark.unit

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")  # written otherwise than the check reads numbers
PIECES = ["bought", "Sold", "0.01", "BTC", "ETH", "60,000", "at", "not", "half", "<b>", "\n", "evil.com", "-1", "loss"]
MONEY = st.decimals(-5000, 5000, places=2, allow_nan=False)


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text)


@st.composite
def facts(draw) -> Fact:
    """A sentence of a template about figures that are drawn."""
    kind = draw(st.sampled_from(["opening", "ending", "stop", "breaker"]))
    if kind in {"opening", "ending"}:
        told = narrate(make_trade(draw(st.integers(0, 50)), float(draw(MONEY))), "USDT")
        fixed = told.opening_fixed if kind == "opening" else told.ending_fixed
        return Fact(START, told.opening if kind == "opening" else told.ending, fixed)
    if kind == "stop":
        price = st.decimals("0.0001", 99999, places=4)
        direction = draw(st.sampled_from(["LONG", "SHORT"]))
        way_out, way_in, made = draw(price), draw(price), draw(MONEY)
        stop = TakenStop(None, "BTC/USDT", direction, way_in, way_out, made, Decimal("-1.02"), START, START, [])
        one = tell_stop(stop, "paper_trading", "demo", "USDT")
    else:
        context = {"loss": str(draw(MONEY)), "window_minutes": str(draw(st.integers(1, 60)))}
        one = tell_breaker(OpenedBreaker("rapid_loss", 1, "BREAKER_TRIPPED", context, "sensor", START), "demo")
    return Fact(one.at, one.sentence, one.fixed)


@st.composite
def worded(draw) -> tuple[Fact, str]:
    """A fact, and what a careless, forgetful or hostile seat makes of it: words moved, dropped, doubled and put in."""
    fact = draw(facts())
    words = fact.sentence.split(" ")
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(words)))
        act = draw(st.sampled_from(["add", "drop", "move", "text"]))
        if act == "add":
            words.insert(place, draw(st.sampled_from([*PIECES, *fact.sentence.split(" ")])))
        elif act == "text":
            words.insert(place, draw(st.text(max_size=12)))
        elif words and place < len(words):
            word = words.pop(place)
            if act == "move":
                words.insert(draw(st.integers(0, len(words))), word)
    return fact, " ".join(words)


@given(worded())
def test_what_is_shown_has_exactly_the_numbers_of_the_facts(case: tuple[Fact, str]) -> None:
    """A8: a figure that a model dropped, added or moved must never stand on a page of ours."""
    fact, wording = case
    if fault_of(fact.sentence, fact.fixed, wording) is None:
        assert numbers(wording) == numbers(fact.sentence)
        assert all(phrase in wording for phrase in fact.fixed)
        assert wording.isascii()
        assert wording.isprintable()
        assert not set(wording) & set("<>[]{}`$\\@")


@given(facts())
def test_the_facts_themselves_always_pass(fact: Fact) -> None:
    """A8: a template that its own check refuses could never be worded, and nobody would notice why."""
    assert plain(fact.sentence)
    assert fault_of(fact.sentence, fact.fixed, fact.sentence) is None
    assert all(phrase in fact.sentence for phrase in fact.fixed)


@given(st.lists(st.lists(st.text(max_size=80), min_size=8, max_size=8), min_size=20, max_size=20))
def test_a_seat_that_returns_anything_changes_no_number_on_the_page(answers: list[list[str]]) -> None:
    """A8: the whole way from any answer to the page's sentences; those that fail are counted, and none is lost."""
    groups = shown_facts(make_inputs())
    shown = reword(Writer("gpt", lambda asked: [a[: len(g)] for a, g in zip(answers, asked, strict=False)]), groups)
    sentences = {fact.sentence for group in groups for fact in group}
    assert all(numbers(shown.of(one)) == numbers(one) for one in sentences)
    assert len(shown.texts) + sum(shown.kept.values()) == sum(map(len, groups))


@given(
    st.lists(st.integers(0, 14 * 24), min_size=1, max_size=80),
    st.integers(0, 3 * 24),
    st.integers(1, 40),
)
def test_a_later_window_asks_the_same_of_whole_days(hours: list[int], later: int, least: int) -> None:
    """A6: the report of the next night must find the answers of this one, or every night pays for two weeks."""
    told = [Fact(START + timedelta(hours=hour), f"It was hour {hour}.", ()) for hour in set(hours)]
    first_day = START + timedelta(hours=later)
    shifted = [fact for fact in told if fact.at >= first_day]
    before = {tuple(group) for group in newest_groups(told, 1000)}
    groups = newest_groups(shifted, least)
    cut = first_day.date()
    assert all(tuple(group) in before for group in groups if group[0].at.date() != cut)
    assert all(len({fact.at.date() for fact in group}) == 1 and len(group) <= 8 for group in groups)
    assert sum(map(len, groups)) >= min(least, len(shifted))
