"""Whether another wording of a sentence still says the facts of it, and nothing that has no place in a sentence.

A language model worded it, so it is untrusted. What is checked is what a machine can check: the same numbers with their
units in the same order, the same names, the same side of every opposite, as many denials, plain signs, and a length.
Whether the style is good or a cause is overstated no rule here can tell; so the facts always stand beside a wording.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from triplegain_pipelines.domain.explained_code import ExplainedCode

_SIGNS = re.compile(r"[A-Za-z0-9 .,;:!?'\"()%+\-/&=_]+")
_LINK = re.compile(r"//|[A-Za-z0-9]\.[A-Za-z]|\bwww\b", re.IGNORECASE)
_BEFORE, _BEHIND = "('\"", ".,;:!?)'\""
_ENDS = (".", "!", "?", ":")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UNITS = _words("h min d hours days minutes times bps Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
_SPELT_NUMBERS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands "
    "million millions billion billions trillion dozen dozens half halved quarter third tenth double doubled triple "
    "tripled once twice thrice percent percentage"
)
_DENIALS = _words(
    "no not cannot never none nothing nobody nowhere neither nor without hardly barely failed avoided instead unless "
    "except almost nearly"
)
_SIDES = (
    _words("buy buys buying bought purchase purchased purchasing acquired"),
    _words("sell sells selling sold sale"),
    _words("long"),
    _words("short"),
    _words("bull bullish"),
    _words("bear bearish"),
    _words("up rise rises rising rose risen higher climb climbed climbing upward upwards rally rallied"),
    _words("down fall falls falling fell fallen drop dropped dropping downward downwards"),
    _words("profit profits profitable gain gains gained win wins won earned"),
    _words("loss losses lost lose loses losing"),
    _words("more above over exceed exceeds exceeded exceeding"),
    _words("less fewer under below lower lowered"),
    _words("refused refuse rejected reject denied declined blocked"),
    _words("approved approve accepted allowed permitted"),
    _words("cut cuts reduced reduce shrunk shrank trimmed smaller"),
    _words("raised raise increased increase grew enlarged larger"),
)
_OPENERS = frozenset().union(*_SIDES) | _words(
    "a after all an and as at because before both but by during following for from having here in it its of on our "
    "since so that the their then there these this those though to we when whereas which while with"
)


class WordingFault(ExplainedCode):
    """Why a wording was thrown away, with what that means in `meaning`."""

    NOT_PLAIN = "NOT_PLAIN", "The wording held markup, a link, or signs that are no plain text."
    LENGTH = "LENGTH", "The wording was empty or much longer than the facts."
    NUMBERS = "NUMBERS", "The wording changed, moved, added or dropped a number, a time or a unit."
    NAMES = "NAMES", "The wording dropped a name, a symbol or a currency, or brought in another."
    SENSE = "SENSE", "The wording turned something round, such as bought and sold, or denied it."


def plain(text: str) -> bool:
    """Whether `text` is one line of plain ASCII text without markup and links."""
    return _SIGNS.fullmatch(text) is not None and _LINK.search(text) is None


def fault_of(fact: str, names: Sequence[str], wording: str) -> WordingFault | None:
    """Why `wording` does not stand for the plain sentence `fact`; None where it does.

    `names` are the phrases of `fact` that must be in the wording letter by letter.

    >>> fault_of("Sold 0.5 BTC at 64,000.", ["BTC"], "At 64,000 it sold 0.5 BTC.").value
    'NUMBERS'
    >>> fault_of("Sold 0.5 BTC at 64,000.", ["BTC"], "It sold 0.5 BTC, at a price of 64,000.") is None
    True
    """
    if not plain(wording):
        return WordingFault.NOT_PLAIN
    if not wording.strip() or len(wording) > len(fact) * 3 // 2 + 40:
        return WordingFault.LENGTH
    if _numbers(fact) != _numbers(wording) or _spelt(fact) != _spelt(wording):
        return WordingFault.NUMBERS
    if not all(_has(wording, name) for name in names) or _marked(fact) != _marked(wording) or _foreign(fact, wording):
        return WordingFault.NAMES
    return WordingFault.SENSE if _sense(fact) != _sense(wording) else None


def _numbers(text: str) -> list[str]:
    """Every word with a digit in it, in order, with its unit where one follows at once."""
    words = text.split()
    found = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        bare = _bare(word)
        if any(sign.isdigit() for sign in bare):
            unit = _bare(after)
            has_unit = word.endswith(bare) and (unit in _UNITS or _is_code(unit))
            found.append(f"{bare} {unit}" if has_unit else bare)
    return found


def _spelt(text: str) -> Counter[str]:
    return Counter(word for word in _lower_words(text) if word in _SPELT_NUMBERS)


def _marked(text: str) -> set[str]:
    """Words that can only be names: symbols, codes in capital letters, names of parts."""
    words = (_bare(word) for word in text.split())
    return {word for word in words if _is_code(word) or any(sign in word for sign in "/_=&")}


def _foreign(fact: str, wording: str) -> bool:
    """Whether a word with a capital letter is neither of the fact nor one that opens a sentence."""
    known = {_bare(word) for word in fact.split()}
    opening = True
    for word in wording.split():
        bare = _bare(word)
        in_lower_case = opening and (bare.lower() in known or bare.lower() in _OPENERS)
        if any(sign.isupper() for sign in bare) and bare not in known and not in_lower_case:
            return True
        opening = word.rstrip(")'\"").endswith(_ENDS)
    return False


def _sense(text: str) -> tuple[list[bool], int]:
    """Which sides are spoken of, and how often it is denied."""
    words = list(_lower_words(text))
    denials = sum(word in _DENIALS or word.endswith("n't") for word in words)
    return [not side.isdisjoint(words) for side in _SIDES], denials


def _lower_words(text: str) -> Iterator[str]:
    return (word.lower().removesuffix("'s") for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", text))


def _has(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _bare(word: str) -> str:
    return word.lstrip(_BEFORE).rstrip(_BEHIND).removesuffix("'s")


def _is_code(word: str) -> bool:
    return len(word) > 1 and word.isupper() and word.isalpha()
