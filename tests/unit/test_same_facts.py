"""Other wordings of a template's sentence: which of them still say its facts, each case by hand."""

import pytest

from triplegain_pipelines.evaluation.same_facts import WordingFault, fault_of

pytestmark = pytest.mark.unit

OPENED = (
    "Bought 0.5 BTC at 64,210.5 in a trending bull market: 5 of 6 seats answered and put the chance of a rise at 57%."
)
OPENED_FIXED = (
    "0.5 BTC",
    "at 64,210.5",
    "trending bull market",
    "5 of 6 seats answered",
    "the chance of a rise at 57%",
)
STOPPED = (
    "The stop of the long position in BTC/USDT was taken at 62,000, after an entry at 64,210.5: "
    "-12.30 USDT after fees, -1.02 times what was at risk."
)
STOPPED_FIXED = (
    "long position in BTC/USDT",
    "taken at 62,000",
    "entry at 64,210.5",
    "-12.30 USDT after fees",
    "-1.02 times what was at risk",
)


def test_the_same_facts_in_other_words_are_kept() -> None:
    """A8: a check that lets nothing through would make the seat's answers a cost without a use."""
    opened = (
        "With 0.5 BTC bought at 64,210.5, we went into a trending bull market: 5 of 6 seats answered, who saw the "
        "chance of a rise at 57%."
    )
    stopped = (
        "Our long position in BTC/USDT hit its stop: it was taken at 62,000 following an entry at 64,210.5, which made "
        "-12.30 USDT after fees (-1.02 times what was at risk)."
    )
    assert fault_of(OPENED, OPENED_FIXED, opened) is None
    assert fault_of(STOPPED, STOPPED_FIXED, stopped) is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("0.5", "0.6", WordingFault.NUMBERS),
        ("64,210.5", "64210.5", WordingFault.NUMBERS),
        ("57%", "75%", WordingFault.NUMBERS),
        ("57%", "57", WordingFault.NUMBERS),
        ("BTC", "ETH", WordingFault.NUMBERS),
        ("5 of 6", "6 of 5", WordingFault.NUMBERS),
        ("Bought", "Bought twice", WordingFault.NUMBERS),
        ("Bought", "Bought one day", WordingFault.NUMBERS),
        ("57%.", "57%. It is worth 1,000,000.", WordingFault.NUMBERS),
        ("57%.", "57%. BNB", WordingFault.NAMES),
        ("57%.", "57%. Binance", WordingFault.NAMES),
        ("57%.", "57%, says claude_opus.", WordingFault.NAMES),
        ("trending bull market", "bull market", WordingFault.NAMES),
        ("the chance of a rise at", "a rise of", WordingFault.NAMES),
        ("Bought", "Binance bought", WordingFault.NAMES),
        ("Bought", "Sold", WordingFault.SENSE),
        ("Bought", "We got", WordingFault.SENSE),
        ("answered and put", "answered and did not put", WordingFault.SENSE),
        ("answered and put", "answered and didn't put", WordingFault.SENSE),
        ("57%.", "57%, at a loss.", WordingFault.SENSE),
        ("Bought", "<b>Bought</b>", WordingFault.NOT_PLAIN),
        ("Bought", "Bought [here](x)", WordingFault.NOT_PLAIN),
        ("57%.", "57%. See evil.com", WordingFault.NOT_PLAIN),
        ("57%.", "57%. See //evil", WordingFault.NOT_PLAIN),
        ("57%.", "57%.\n", WordingFault.NOT_PLAIN),
        ("BTC", "B\u0422C", WordingFault.NOT_PLAIN),
        ("Bought", "Bou\u200bght", WordingFault.NOT_PLAIN),
        ("0.5", "\uff10.5", WordingFault.NOT_PLAIN),
        ("Bought", "Bought \u00bd", WordingFault.NOT_PLAIN),
        ("57%.", "57%. " + "and so it was " * 9, WordingFault.LENGTH),
    ],
)
def test_a_changed_fact_is_found(old: str, new: str, fault: WordingFault) -> None:
    """A8: one wrong figure under our name is worse than a dull sentence, and a model is untrusted."""
    assert fault_of(OPENED, OPENED_FIXED, OPENED) is None
    assert fault_of(OPENED, OPENED_FIXED, OPENED.replace(old, new)) is fault


@pytest.mark.parametrize(
    "wording",
    [
        STOPPED.replace("taken at 62,000, after an entry at 64,210.5", "taken at 64,210.5, after an entry at 62,000"),
        STOPPED.replace("taken at 62,000, after an entry at 64,210.5", "at an entry at 62,000 taken at 64,210.5"),
        STOPPED.replace("-12.30", "+12.30"),
        STOPPED.replace("-12.30", "12.30"),
        STOPPED.replace("USDT after", "USD after"),
        STOPPED.replace("BTC/USDT", "BTC/USD"),
        STOPPED.replace("long", "short"),
        STOPPED.replace("-1.02 times", "-1.02 percent"),
        "",
        "   ",
    ],
)
def test_facts_that_changed_places_are_found(wording: str) -> None:
    """A8: all the right numbers at the wrong places are the lie that a bag of numbers would not see."""
    assert fault_of(STOPPED, STOPPED_FIXED, wording) is not None
