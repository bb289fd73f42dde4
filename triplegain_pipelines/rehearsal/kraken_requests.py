"""What calls of Kraken's REST protocol ask for."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.kraken_names import number_of
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, FeeIn, OrderRequest
from triplegain_pipelines.rehearsal.protocol import Incoming

_MOST_IDS = 20
_YES = frozenset({"true", "1"})
_SHORT_ID = re.compile(r"[\x20-\x7e]{1,18}")


def wants(call: Incoming, name: str) -> bool:
    """Whether a flag is set."""
    return call.text(name).lower() in _YES


def deadline_of(call: Incoming) -> datetime | None:
    """After when the request is not to be carried out any more.

    Raises:
        ValueError: it is no moment.
    """
    return datetime.fromisoformat(call.text("deadline")) if "deadline" in call.parameters else None


def request_of(call: Incoming, symbol: str) -> OrderRequest:
    """The order that AddOrder asks for.

    Raises:
        KeyError: a parameter is missing, or its value is not known here.
        ValueError: one cannot be read.
    """
    kind, side, flags = call.parameters["ordertype"], Side(call.text("type").upper()), call.text("oflags")
    _check_client_id(call)
    if "viqc" in flags:
        msg = "a volume in quote currency is not known here"
        raise ValueError(msg)
    request = OrderRequest(
        symbol,
        side,
        Decimal(call.parameters["volume"]),
        client_id=call.parameters.get("cl_ord_id"),
        immediate=call.text("timeinforce").upper() == "IOC",
        # By default a sale pays in base currency, as far as there is any besides what is sold.
        fee_in=FeeIn.BASE if "fcib" in flags or (side is Side.SELL and "fciq" not in flags) else FeeIn.QUOTE,
        in_parts=call.in_parts,
        details={"userref": str(call.number("userref", 0))} if "userref" in call.parameters else {},
    )
    if kind == "market":
        return request
    price = Decimal(call.parameters["price"])
    if kind == "limit":
        return replace(request, limit=price)
    limit = Decimal(call.parameters["price2"]) if kind.endswith("-limit") else None
    stops = {"stop-loss": True, "take-profit": False}[kind.removesuffix("-limit")]
    return replace(request, trigger=price, limit=limit, rising=stops == (side is Side.BUY))


def _check_client_id(call: Incoming) -> None:
    """A UUID with or without dashes, or at most 18 signs; and not besides a `userref`.

    Raises:
        ValueError: it is none of these.
    """
    given = call.parameters.get("cl_ord_id")
    if given is None:
        return
    if "userref" in call.parameters:
        msg = "cl_ord_id and userref exclude each other"
        raise ValueError(msg)
    if not _SHORT_ID.fullmatch(given):
        UUID(given)


def asked_for(orders: Iterable[ExchangeOrder], call: Incoming) -> Iterable[ExchangeOrder]:
    """Those with the client id or the user reference that a question is about; all where it names none."""
    client_id, reference = call.parameters.get("cl_ord_id"), call.parameters.get("userref")
    for order in orders:
        if client_id is not None and order.request.client_id != client_id:
            continue
        if reference is None or order.request.details.get("userref") == str(reference):
            yield order


def ids_of(call: Incoming) -> set[str]:
    """The ids that a question is about.

    Raises:
        ValueError: they are too many, or no ids.
    """
    asked = call.text("txid").split(",")
    if len(asked) > _MOST_IDS or any(number_of(one) is None for one in asked):
        msg = f"txid has to be at most {_MOST_IDS} ids"
        raise ValueError(msg)
    return set(asked)


def span_of(call: Incoming) -> tuple[float, float]:
    """Start, exclusive, and end, inclusive, in seconds since 1970."""
    return float(call.text("start") or 0), float(call.text("end") or "inf")
