"""What a failed request to change something means for the order: a table over the venues' own words.

The class of ccxt's error decides nothing: it files a refused nonce under network errors, a duplicate under invalid
orders, and half of what Kraken says under no class at all. What is not in the table is UNKNOWN.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from triplegain_pipelines.execution.venues.client import Failure


class Request(StrEnum):
    """What was asked for."""

    CREATE = "create"
    CANCEL = "cancel"


class Meaning(StrEnum):
    """What is certain after a failure."""

    REJECTED = "rejected"  # for certain, and it would be again
    NOT_EXECUTED = "not executed"  # for certain, for a reason that passes
    UNKNOWN = "unknown"  # it may have been done


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: what a venue says, and what it means.

    `words` at the end of which there is a star stand for all that begin so. `only` is the request it is said of; None:
    any.
    """

    venue: str
    words: str
    meaning: Meaning
    why: str
    only: Request | None = None

    def fits(self, venue: str, request: Request, words: str) -> bool:
        """Whether the rule is about these words."""
        if venue != self.venue or self.only not in {None, request}:
            return False
        return words.startswith(self.words[:-1]) if self.words.endswith("*") else words == self.words


def _rules(venue: str, meaning: Meaning, why: str, *words: str, only: Request | None = None) -> Iterator[Rule]:
    return (Rule(venue, each, meaning, why, only) for each in words)


_R, _N, _U = Meaning.REJECTED, Meaning.NOT_EXECUTED, Meaning.UNKNOWN
_KEY = "the key may not do this"
_BUSY = "too many requests; the venue did not look at this one"
_FUNDS = "the balance is too small"
_SIZE = "below a minimum or above a maximum of the venue"
_FORM = "the request is wrong, or the price is not on the grid"
_TIME = "its time or number was refused before it was read"
_CLOSED = "the market takes no such orders now"
_GONE = "the venue has no such open order"
_DUPLICATE = "an order with this id exists: it is looked up and adopted"
_PASSED = "the stop lies on the wrong side of the price"
_INTERNAL = "the venue failed in the middle of it"

# The first rule that fits counts.
RULES: tuple[Rule, ...] = (
    *_rules("kraken", _U, _DUPLICATE, "EGeneral:Invalid arguments:cl_ord_id*", "EOrder:Duplicate*"),
    *_rules("kraken", _U, "it came too late, or its processing was broken off", "EService:Deadline elapsed"),
    *_rules("kraken", _U, _INTERNAL, "EGeneral:Internal error*", "EService:Timeout", "EService:Unavailable"),
    *_rules("kraken", _U, _INTERNAL, "EService:Busy", "EDatabase:Internal error"),
    *_rules("kraken", _R, _FUNDS, "EOrder:Insufficient funds*", "EOrder:Insufficient margin"),
    *_rules("kraken", _R, _SIZE, "EOrder:Order minimum not met*", "EOrder:Cost minimum not met*"),
    *_rules("kraken", _R, _SIZE, "EOrder:Orders limit exceeded", "EOrder:Positions limit exceeded"),
    *_rules("kraken", _R, _FORM, "EGeneral:Invalid arguments*", "EOrder:Invalid price*", "EOrder:Invalid order*"),
    *_rules("kraken", _R, _FORM, "EOrder:Tick size check failed", "EQuery:Unknown asset pair"),
    *_rules("kraken", _R, _FORM, "EQuery:Invalid asset pair"),
    *_rules("kraken", _R, _KEY, "EGeneral:Permission denied", "EAPI:Invalid key", "EAPI:Invalid signature"),
    *_rules("kraken", _R, _KEY, "EAccount:Invalid permissions*", "EAuth:Account temporary disabled"),
    *_rules("kraken", _R, _KEY, "EAuth:Account unconfirmed", "ETrade:User Locked", "EOrder:Trading agreement required"),
    *_rules("kraken", _N, _TIME, "EAPI:Invalid nonce"),
    *_rules(
        "kraken", _N, _BUSY, "EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded", "EGeneral:Too many requests"
    ),
    *_rules("kraken", _N, _BUSY, "EOrder:Domain rate limit exceeded", "EGeneral:Temporary lockout"),
    *_rules("kraken", _N, _BUSY, "EService:Throttled*"),
    *_rules("kraken", _N, _CLOSED, "EService:Market in cancel_only mode", "EService:Market in post_only mode"),
    *_rules("kraken", _R, _GONE, "EOrder:Unknown order", only=Request.CANCEL),
    *_rules("binance", _U, _DUPLICATE, "-2010 Duplicate order sent*"),
    *_rules("binance", _U, _INTERNAL, "-1000 *", "-1001 *", "-1006 *", "-1007 *"),
    *_rules("binance", _R, _FUNDS, "-2010 Account has insufficient balance*"),
    *_rules("binance", _R, _SIZE, "-1013 *"),
    *_rules("binance", _R, _FORM, "-1100 *", "-1101 *", "-1102 *", "-1103 *", "-1104 *", "-1105 *", "-1106 *"),
    *_rules("binance", _R, _FORM, "-1111 *", "-1114 *", "-1115 *", "-1116 *", "-1117 *", "-1121 *", "-1131 *"),
    *_rules(
        "binance", _R, _PASSED, "-2010 Order would trigger immediately*", "-2010 Stop price would trigger immediately*"
    ),
    *_rules(
        "binance", _R, _FORM, "-2010 Stop loss orders are not supported*", "-2010 Market orders are not supported*"
    ),
    *_rules("binance", _R, _SIZE, "-2010 Price * QTY is zero or less*"),
    *_rules("binance", _R, _KEY, "-1002 *", "-1022 *", "-2014 *", "-2015 *", "-2010 This action is disabled*"),
    *_rules("binance", _R, _KEY, "-2010 This symbol is not permitted*", "-2010 This symbol is restricted*"),
    *_rules("binance", _N, _CLOSED, "-2010 Market is closed*"),
    *_rules("binance", _N, _TIME, "-1021 *"),
    *_rules("binance", _N, _BUSY, "-1003 *", "-1015 *"),
    *_rules("binance", _R, _GONE, "-2011 *", only=Request.CANCEL),
    *_rules("coinbase", _U, _DUPLICATE, "DUPLICATE*", "duplicate*"),
    *_rules("coinbase", _U, _INTERNAL, "internal*", "INTERNAL*"),
    *_rules("coinbase", _R, _FUNDS, "INSUFFICIENT_FUND*", "PREVIEW_INSUFFICIENT_FUND*"),
    *_rules("coinbase", _R, "its check before the order refused it", "PREVIEW_*"),
    *_rules("coinbase", _R, _SIZE, "ORDER_SIZE_*", "INVALID_SIZE*"),
    *_rules("coinbase", _R, _FORM, "UNSUPPORTED_ORDER_CONFIGURATION", "INVALID_*", "INELIGIBLE_PAIR"),
    *_rules("coinbase", _R, _KEY, "PERMISSION_DENIED", "unauthorized", "authentication_error", "invalid_token"),
    *_rules("coinbase", _N, _BUSY, "rate_limit_exceeded", "RATE_LIMIT_EXCEEDED", "resource_exhausted"),
    *_rules("coinbase", _N, _CLOSED, "ORDER_ENTRY_DISABLED"),
    *_rules(
        "coinbase", _R, _GONE, "UNKNOWN_CANCEL_ORDER", "order with this orderID was not found", only=Request.CANCEL
    ),
)

# What the HTTP status alone makes certain, whatever the body says.
STATUS_MEANINGS: dict[int, tuple[Meaning, str]] = {401: (_R, _KEY), 418: (_N, _BUSY), 429: (_N, _BUSY)}


def meaning_of(venue: str, request: Request, failure: Failure) -> Meaning:
    """What is certain about a request that failed. Several errors at once count as the least certain of them.

    Args:
        venue: its id in ccxt.
        request: what was asked for.
        failure: what came of it.
    """
    if not failure.sent:
        return Meaning.NOT_EXECUTED
    if failure.status is None or failure.status >= 500:  # noqa: PLR2004 - the HTTP errors on the venue's side
        return Meaning.UNKNOWN
    if failure.status in STATUS_MEANINGS:
        return STATUS_MEANINGS[failure.status][0]
    found = {_of_words(venue, request, words) for words in words_of(venue, failure.data)}
    if not found or Meaning.UNKNOWN in found:
        return Meaning.UNKNOWN
    return Meaning.REJECTED if Meaning.REJECTED in found else Meaning.NOT_EXECUTED


def words_of(venue: str, data: Any) -> tuple[str, ...]:  # noqa: ANN401 - it is what JSON holds
    """The venue's words for what went wrong, as the table has them; none where the answer has another shape."""
    if not isinstance(data, dict):
        return ()
    if venue == "kraken":
        errors = data.get("error")
        return tuple(str(error) for error in errors) if isinstance(errors, list) else ()
    if venue == "binance":
        return (f"{data['code']} {data['msg']}",) if {"code", "msg"} <= data.keys() else ()
    return _words_of_coinbase(data)


def _of_words(venue: str, request: Request, words: str) -> Meaning:
    return next((rule.meaning for rule in RULES if rule.fits(venue, request, words)), Meaning.UNKNOWN)


def _words_of_coinbase(data: dict[str, Any]) -> tuple[str, ...]:
    """Its errors name up to three reasons, of which the ones that begin so say that it has no such reason."""
    refusal = data.get("error_response", data)
    if not isinstance(refusal, dict):
        return ()
    fields = ("error", "preview_failure_reason", "new_order_failure_reason", "failure_reason")
    reasons = (str(refusal[field]) for field in fields if refusal.get(field))
    silent = ("UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON")
    return tuple(reason for reason in reasons if reason not in silent)
