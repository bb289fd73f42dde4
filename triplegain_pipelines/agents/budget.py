"""What a call of a model can cost at most, and what it did cost: exact arithmetic over tokens and prices.

Whether a budget has so much left is in `domain.model_budget`, what was reserved and spent in `store.budgets`.
"""

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

from triplegain_pipelines.domain.errors import BudgetError
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.settings.models import Price

_MILLION_PLACES = 6  # prices are for a million tokens
_STEP_PLACES = 6  # what is reserved is rounded up to a millionth of a dollar
_TOKENS_AROUND_A_TEXT = 16  # more than a message's role and separators take


def known_price(model: str, price: Price | None) -> Price:
    """The price of a model that has one; a model that costs nothing says so with prices of 0.

    Raises:
        BudgetError: nobody knows the price.
    """
    if price is None:
        msg = f"what a call of {model} costs is not known, so it is not made; say its price in config/models.yaml"
        raise BudgetError(msg)
    return price


def most_input_tokens(texts: Iterable[str]) -> int:
    """More tokens than a question of these texts can have; a schema that is sent beside the messages is one of them.

    Tokenizers that work on bytes make at most one token of a byte, and of English text one of three or four.

    >>> most_input_tokens(["buy?", "é"])
    38
    """
    return sum(len(text.encode()) + _TOKENS_AROUND_A_TEXT for text in texts)


def cost_usd(price: Price, input_tokens: int, output_tokens: int) -> Decimal:
    """What so many tokens cost, to the last digit, in US dollars.

    Raises:
        BudgetError: a number of tokens is negative.
    """
    if input_tokens < 0 or output_tokens < 0:
        msg = f"a call cannot have used {input_tokens} and {output_tokens} tokens; the provider's answer is wrong"
        raise BudgetError(msg)
    of_a_million = EXACT.add(
        EXACT.multiply(Decimal(input_tokens), price.input_usd),
        EXACT.multiply(Decimal(output_tokens), price.output_usd),
    )
    return of_a_million.scaleb(-_MILLION_PLACES, context=EXACT)


def worst_case_usd(price: Price, most_input: int, most_output: int) -> Decimal:
    """What a call costs at most, in US dollars, rounded up to a millionth of one.

    Args:
        price: of the model.
        most_input: tokens that the question has at most.
        most_output: tokens that the answer may have, those of its reasoning among them.

    Raises:
        BudgetError: a number of tokens is negative.
    """
    steps = cost_usd(price, most_input, most_output).scaleb(_STEP_PLACES, context=EXACT)
    return steps.to_integral_value(rounding=ROUND_CEILING, context=EXACT).scaleb(-_STEP_PLACES, context=EXACT)
