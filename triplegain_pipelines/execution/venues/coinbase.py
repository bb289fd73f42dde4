"""Coinbase Advanced: orders are looked up by its own ids only, and stops are stop-limits."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.errors import DataError, UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import divided
from triplegain_pipelines.domain.orders import Execution, OrderReference, OrderState, RestingAtVenue, Side, VenueOrder
from triplegain_pipelines.execution.broker import VenueRejectionError, VenueTraits
from triplegain_pipelines.execution.venues.adapter import Found, VenueAdapter
from triplegain_pipelines.execution.venues.client import Answer, Failure
from triplegain_pipelines.execution.venues.markets import Market, readable
from triplegain_pipelines.execution.venues.numbers import limit_beyond, spelt
from triplegain_pipelines.execution.venues.reading import (
    mapping,
    moment_of_text,
    number,
    rfc3339,
    rows,
    side,
    state_of,
    text,
    text_if_any,
)
from triplegain_pipelines.execution.venues.tickets import Ticket

# A request is signed with its time, and the signature is good for this long.
_SIGNED_FOR = timedelta(seconds=120)
_PAGE = 250
_PLACES = 16
_WORKING = frozenset({"OPEN", "PENDING", "QUEUED", "CANCEL_QUEUED", "EDIT_QUEUED"})
_DONE = frozenset({"FILLED", "CANCELLED", "EXPIRED"})
_REFUSED = "FAILED"
_SKEW = timedelta(minutes=5)
_NOT_FOUND = 404


class CoinbaseAdapter(VenueAdapter):
    """Orders at Coinbase."""

    @property
    def traits(self) -> VenueTraits:
        """It holds stops, as stop-limits that can be jumped over, and cannot move them."""
        return VenueTraits(
            absence_is_final=False,
            expiry=_SIGNED_FOR,
            holds_pairs=False,
            holds_stops=True,
            dead_man_timer=False,
        )

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Ask for the cancellation by the venue's id, which is looked up first where it is not known.

        Raises:
            VenueRejectionError: the venue knows no such order.
            UnknownOutcomeError: no answer came, or the order is still open.
        """
        if order.venue_order_id is not None:
            return super().cancel(order)
        try:
            found = self.lookup(order)
        except UnavailableError as error:
            msg = f"{self.venue} could not be asked for order {order.client_order_id}, to cancel it: {error}"
            raise UnknownOutcomeError(msg) from error
        if found is None:
            msg = f"{self.venue} knows no order {order.client_order_id} that could be cancelled"
            raise VenueRejectionError(msg)
        return found if found.state.is_final else super().cancel(replace(order, venue_order_id=found.venue_order_id))

    def _listing(self) -> str:
        return "v3PublicGetBrokerageMarketProducts"

    def _markets_of(self, data: Any) -> Iterable[Market]:  # noqa: ANN401 - it is what JSON holds
        def market(row: Mapping[str, Any]) -> Market:
            base, quote = (self._client.currency(text(row, f"{part}_currency_id")) for part in ("base", "quote"))
            return Market(
                text(row, "product_id"),
                frozenset({text(row, "product_id")}),
                Instrument(
                    symbol=f"{base}/{quote}",
                    quantity_step=number(row, "base_increment"),
                    price_step=number(row, "price_increment" if "price_increment" in row else "quote_increment"),
                    minimum_quantity=number(row, "base_min_size"),
                    minimum_cost=number(row, "quote_min_size"),
                ),
            )

        listed = rows(mapping(data, "the answer").get("products"), "the markets")
        return readable((row for row in listed if row.get("product_type", "SPOT") == "SPOT"), market)

    def _creation(self, ticket: Ticket) -> tuple[str, dict[str, Any]]:
        return "v3PrivatePostBrokerageOrders", {
            "client_order_id": str(ticket.client_order_id),
            "product_id": ticket.market.identity,
            "side": ticket.side.value,
            "order_configuration": self._configuration(ticket),
        }

    def _configuration(self, ticket: Ticket) -> dict[str, Any]:
        size = {"base_size": spelt(ticket.quantity)}
        beyond, instrument = self._live.stop_limit_bps, ticket.market.instrument
        if ticket.trigger is not None:
            return {
                "stop_limit_stop_limit_gtc": {
                    **size,
                    "limit_price": spelt(limit_beyond(ticket.trigger, ticket.side, beyond, instrument)),
                    "stop_price": spelt(ticket.trigger),
                    "stop_direction": f"STOP_DIRECTION_STOP_{'DOWN' if ticket.side is Side.SELL else 'UP'}",
                }
            }
        if ticket.side is Side.SELL:
            return {"market_market_ioc": size}
        # A market order buys for an amount of quote currency; a limit that is filled at once or not buys a quantity.
        limit = limit_beyond(ticket.decided_price, ticket.side, beyond, instrument)
        return {"sor_limit_ioc": {**size, "limit_price": spelt(limit)}}

    def _created(self, answer: Answer, ticket: Ticket) -> str:
        row = mapping(answer.data, "the answer")
        if row.get("success") is not True:
            msg = f"it says success: {str(row.get('success'))[:40]}"
            raise DataError(msg)
        accepted = mapping(row.get("success_response"), "the success")
        if accepted.get("client_order_id") != str(ticket.client_order_id):
            msg = f"it accepted the order {str(accepted.get('client_order_id'))[:40]!r}"
            raise DataError(msg)
        return text(accepted, "order_id")

    def _cancellation(self, order: OrderReference) -> tuple[str, dict[str, Any]]:
        return "v3PrivatePostBrokerageOrdersBatchCancel", {"order_ids": [order.venue_order_id]}

    def _refused_cancel(self, answer: Answer) -> str | None:
        with self._reading("a cancel"):
            results = rows(mapping(answer.data, "the answer").get("results"), "the results")
        refused = [str(row.get("failure_reason"))[:80] for row in results if row.get("success") is not True]
        return ", ".join(refused) if refused or not results else None

    def _found(self, order: OrderReference) -> Found | None:
        row = self._row(order)
        if row is None:
            return None
        market = self._markets.called(text(row, "product_id"))
        self._require_same(order, market, side(text(row, "side")))
        identity, filled = text(row, "order_id"), number(row, "filled_size")
        trades = list(self._fills({"order_ids": [identity]})) if filled else []
        return Found(
            identity,
            _state(text(row, "status"), filled, _size(row)),
            filled,
            tuple(self._execution(trade) for trade in trades),
            json.dumps({"order": row, "trades": trades}, default=str),
        )

    def _row(self, order: OrderReference) -> Mapping[str, Any] | None:
        """The order by the venue's id; else the one with our id among those made since it was sent."""
        if order.venue_order_id is not None:
            endpoint = "v3PrivateGetBrokerageOrdersHistoricalOrderId"
            result = self._client.ask(endpoint, {"order_id": order.venue_order_id})
            if isinstance(result, Answer):
                return mapping(mapping(result.data, "the answer").get("order"), "the order")
            if not _says_absent(result):
                raise self._unanswered(endpoint, result)
        since = rfc3339(order.sent_at - _SKEW)
        for row in self._listed_orders({"start_date": since}):
            if row.get("client_order_id") == str(order.client_order_id):
                return row
        return None

    def _listed_orders(self, which: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            question = {**which, "limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            page = mapping(self._read("v3PrivateGetBrokerageOrdersHistoricalBatch", question).data, "the answer")
            yield from rows(page.get("orders"), "the list of orders")
            cursor = _next(page, cursor)

    def _fills(self, which: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            question = {**which, "limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            page = mapping(self._read("v3PrivateGetBrokerageOrdersHistoricalFills", question).data, "the answer")
            fills = rows(page.get("fills"), "the list of fills")
            yield from fills
            # This list has no field that says whether there is more: it ends with an empty cursor or an empty page.
            cursor = _next({"has_next": bool(fills and page.get("cursor")), **page}, cursor)

    def _execution(self, row: Mapping[str, Any]) -> Execution:
        trade_id, market = text(row, "trade_id"), self._markets.called(text(row, "product_id"))
        if market is None or row.get("trade_type", "FILL") != "FILL":
            # A reversal or correction has the id of what it corrects: a person has to see it.
            msg = f"trade {trade_id} is a {str(row.get('trade_type'))[:40]} of {text(row, 'product_id')[:40]}"
            raise DataError(msg)
        size, price = number(row, "size"), number(row, "price")
        return Execution(
            venue=self.venue,
            trade_id=trade_id,
            venue_order_id=text(row, "order_id"),
            symbol=market.symbol,
            side=side(text(row, "side")),
            quantity=divided(size, price, _PLACES) if row.get("size_in_quote") is True else size,
            price=price,
            fee=number(row, "commission"),
            fee_currency=market.instrument.quote,
            filled_at=moment_of_text(text(row, "trade_time")),
        )

    def _resting(self) -> Iterator[RestingAtVenue]:
        for row in self._listed_orders({"order_status": ["OPEN"]}):
            market = self._markets.called(text(row, "product_id"))
            yield RestingAtVenue(
                venue_order_id=text(row, "order_id"),
                client_order_id=text_if_any(row, "client_order_id"),
                symbol=text(row, "product_id") if market is None else market.symbol,
                side=side(text(row, "side")),
                quantity=_size(row),
                filled_quantity=number(row, "filled_size"),
            )

    def _traded(self, since: datetime) -> Iterator[Execution]:
        return (self._execution(row) for row in self._fills({"start_sequence_timestamp": rfc3339(since)}))

    def _owned(self) -> Iterator[tuple[str, Decimal]]:
        cursor: str | None = ""
        while cursor is not None:
            question = {"limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            page = mapping(self._read("v3PrivateGetBrokerageAccounts", question).data, "the answer")
            for row in rows(page.get("accounts"), "the list of accounts"):
                parts = (mapping(row.get(part), part) for part in ("available_balance", "hold"))
                yield (
                    self._client.currency(text(row, "currency")),
                    sum((number(each, "value") for each in parts), Decimal(0)),
                )
            cursor = _next(page, cursor)


def _next(page: Mapping[str, Any], cursor: str | None) -> str | None:
    """Where the next page begins; None: this was the last.

    Raises:
        DataError: there is more, but not from another place on.
    """
    if page.get("has_next") is not True:
        return None
    after = page.get("cursor")
    if not isinstance(after, str) or not after or after == cursor:
        msg = f"a list goes on, but its next page begins at {str(after)[:40]!r}"
        raise DataError(msg)
    return after


def _size(row: Mapping[str, Any]) -> Decimal:
    """The quantity of an order in base currency. One for an amount of quote currency is as much as its limit buys."""
    for configuration in mapping(row.get("order_configuration"), "the configuration of an order").values():
        if isinstance(configuration, dict) and configuration.get("base_size"):
            return number(configuration, "base_size")
        if isinstance(configuration, dict) and configuration.get("quote_size"):
            return divided(number(configuration, "quote_size"), number(configuration, "limit_price"), _PLACES)
    msg = f"order {str(row.get('order_id'))[:40]} has no size"
    raise DataError(msg)


def _state(status: str, filled: Decimal, quantity: Decimal) -> OrderState:
    if status == _REFUSED and not filled:
        return OrderState.REJECTED
    if status not in _WORKING | _DONE | {_REFUSED}:
        msg = f"its status is {status[:40]!r}"
        raise DataError(msg)
    return state_of(working=status in _WORKING, filled=filled, quantity=quantity)


def _says_absent(failure: Failure) -> bool:
    return failure.status == _NOT_FOUND and isinstance(failure.data, dict) and bool(failure.data.get("error"))
