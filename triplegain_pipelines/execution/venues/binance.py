"""Binance spot, real or testnet: client ids unique until an order is filled, time and window in every request."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import DataError, UnavailableError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Execution, OrderReference, OrderState, RestingAtVenue, Side
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.venues.adapter import Found, VenueAdapter
from triplegain_pipelines.execution.venues.client import Answer, Failure, PrivateClient
from triplegain_pipelines.execution.venues.markets import Market, readable
from triplegain_pipelines.execution.venues.numbers import spelt
from triplegain_pipelines.execution.venues.outcomes import words_of
from triplegain_pipelines.execution.venues.reading import (
    mapping,
    milliseconds,
    moment_of_seconds,
    number,
    rows,
    side,
    state_of,
    text,
    text_if_any,
)
from triplegain_pipelines.execution.venues.tickets import Ticket
from triplegain_pipelines.settings.profile import LiveSettings

_ABSENT = "-2013 "
_WORKING = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL"})
_DONE = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"})
_REFUSED = "REJECTED"
_TRADES_A_PAGE = 1000
_LONGEST_WINDOW = timedelta(hours=24)  # of one question for trades
_SKEW = timedelta(seconds=1)
_MILLISECOND = Decimal("0.001")


class BinanceAdapter(VenueAdapter):
    """Orders at Binance.

    Args:
        name: of the venue in our tables.
        client: signs and sends.
        live: how long a request lasts.
        clock: tells the present.
        symbols: the venue tells trades by symbol only; those of any other are not seen.
    """

    def __init__(
        self, name: str, client: PrivateClient, live: LiveSettings, clock: Clock, symbols: Iterable[str]
    ) -> None:
        super().__init__(name, client, live, clock)
        self._symbols = dict.fromkeys(symbols)

    @property
    def traits(self) -> VenueTraits:
        """It holds stops at the market, and cannot move them."""
        return VenueTraits(
            absence_is_final=False,
            expiry=self._expiry,
            holds_pairs=False,
            holds_stops=True,
            dead_man_timer=False,
        )

    def _listing(self) -> str:
        return "publicGetExchangeInfo"

    def _markets_of(self, data: Any) -> Iterable[Market]:  # noqa: ANN401 - it is what JSON holds
        def market(row: Mapping[str, Any]) -> Market:
            base, quote = (self._client.currency(text(row, part)) for part in ("baseAsset", "quoteAsset"))
            filters = {text(each, "filterType"): each for each in rows(row.get("filters"), "the filters of a market")}
            prices, lots = (mapping(filters.get(kind), kind) for kind in ("PRICE_FILTER", "LOT_SIZE"))
            cost = mapping(filters.get("NOTIONAL", filters.get("MIN_NOTIONAL")), "NOTIONAL")
            sizes = [lots, *([filters["MARKET_LOT_SIZE"]] if "MARKET_LOT_SIZE" in filters else [])]
            return Market(
                text(row, "symbol"),
                frozenset({text(row, "symbol")}),
                Instrument(
                    symbol=f"{base}/{quote}",
                    quantity_step=max(number(size, "stepSize") for size in sizes),
                    price_step=number(prices, "tickSize"),
                    minimum_quantity=max(number(size, "minQty") for size in sizes),
                    minimum_cost=number(cost, "minNotional"),
                ),
            )

        return readable(rows(mapping(data, "the answer").get("symbols"), "the markets"), market)

    def _creation(self, ticket: Ticket) -> tuple[str, dict[str, Any]]:
        self._symbols[ticket.market.symbol] = None
        kind = {"type": "MARKET"}
        if ticket.trigger is not None:
            kind = {"type": "STOP_LOSS", "stopPrice": spelt(ticket.trigger)}
        return "privatePostOrder", {
            "symbol": ticket.market.identity,
            "side": ticket.side.value,
            **kind,
            "quantity": spelt(ticket.quantity),
            "newClientOrderId": str(ticket.client_order_id),
            # Later than the window after this time the venue refuses it, whenever it was really sent.
            "timestamp": milliseconds(ticket.sent_at),
            "recvWindow": (ticket.expires_at - ticket.sent_at) // timedelta(milliseconds=1),
        }

    def _created(self, answer: Answer, ticket: Ticket) -> str:
        row = mapping(answer.data, "the answer")
        if row.get("clientOrderId") != str(ticket.client_order_id):
            msg = f"it accepted the order {str(row.get('clientOrderId'))[:40]!r}"
            raise DataError(msg)
        return text(row, "orderId")

    def _cancellation(self, order: OrderReference) -> tuple[str, dict[str, Any]]:
        market = self._market(order.symbol)
        return "privateDeleteOrder", {"symbol": market.identity, "origClientOrderId": str(order.client_order_id)}

    def _cancelled_id(self, answer: Answer, order: OrderReference) -> str | None:  # noqa: ARG002
        # A cancel has a client id of its own, under which the order may be listed from then on.
        return text(mapping(answer.data, "the answer"), "orderId")

    def _found(self, order: OrderReference) -> Found | None:
        self._symbols[order.symbol] = None
        market = self._market(order.symbol)
        which = {"origClientOrderId": str(order.client_order_id)}
        if order.venue_order_id is not None:
            which = {"orderId": order.venue_order_id}
        endpoint = "privateGetOrder"
        result = self._client.ask(endpoint, {"symbol": market.identity, **which})
        if isinstance(result, Failure):
            if any(words.startswith(_ABSENT) for words in words_of("binance", result.data)):
                return None
            raise self._unanswered(endpoint, result)
        row = mapping(result.data, "the answer")
        self._require_same(order, self._markets.called(text(row, "symbol")), side(text(row, "side")))
        identity, filled = text(row, "orderId"), number(row, "executedQty")
        trades = list(self._pages({"symbol": market.identity, "orderId": identity})) if filled else []
        return Found(
            identity,
            _state(text(row, "status"), filled, number(row, "origQty")),
            filled,
            tuple(self._execution(trade, market) for trade in trades),
            json.dumps({"order": row, "trades": trades}, default=str),
        )

    def _resting(self) -> Iterator[RestingAtVenue]:
        for row in rows(self._read("privateGetOpenOrders", {}).data, "the list of open orders"):
            market = self._markets.called(text(row, "symbol"))
            yield RestingAtVenue(
                venue_order_id=text(row, "orderId"),
                client_order_id=text_if_any(row, "clientOrderId"),
                symbol=text(row, "symbol") if market is None else market.symbol,
                side=side(text(row, "side")),
                quantity=number(row, "origQty"),
                filled_quantity=number(row, "executedQty"),
            )

    def _traded(self, since: datetime) -> Iterator[Execution]:
        if not self._symbols:
            msg = (
                f"{self.venue} tells trades by symbol only, and no symbol was named; open it with those of the profile"
            )
            raise UnavailableError(msg)
        now = self._clock.now() + _SKEW
        for symbol in tuple(self._symbols):
            market, start = self._market(symbol), since
            while start < now:
                end = min(start + _LONGEST_WINDOW, now)
                window = {"startTime": milliseconds(start), "endTime": milliseconds(end)}
                for row in self._pages({"symbol": market.identity, **window}):
                    yield self._execution(row, market)
                start = end

    def _pages(self, first: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The trades of a question; where one page does not hold them, the following ones by their number."""
        page = rows(self._read("privateGetMyTrades", {**first, "limit": _TRADES_A_PAGE}).data, "the list of trades")
        yield from page
        until = first.get("endTime")
        while len(page) >= _TRADES_A_PAGE:
            after = {"symbol": first["symbol"], "fromId": int(number(page[-1], "id")) + 1, "limit": _TRADES_A_PAGE}
            page = rows(self._read("privateGetMyTrades", after).data, "the list of trades")
            yield from (row for row in page if "orderId" not in first or text(row, "orderId") == first["orderId"])
            if until is not None and page and number(page[-1], "time") > until:
                return

    def _execution(self, row: Mapping[str, Any], market: Market) -> Execution:
        order, number_of_trade = text(row, "orderId"), text(row, "id")
        buys = row.get("isBuyer")
        if not isinstance(buys, bool):
            msg = f"trade {number_of_trade} does not say whether it bought"
            raise DataError(msg)
        return Execution(
            venue=self.venue,
            # The venue counts trades by market, and a trade with oneself is one for both orders.
            trade_id=f"{market.identity}:{order}:{number_of_trade}",
            venue_order_id=order,
            symbol=market.symbol,
            side=Side.BUY if buys else Side.SELL,
            quantity=number(row, "qty"),
            price=number(row, "price"),
            fee=number(row, "commission"),
            fee_currency=self._client.currency(text(row, "commissionAsset")),
            filled_at=moment_of_seconds(number(row, "time") * _MILLISECOND),
        )

    def _owned(self) -> Iterator[tuple[str, Decimal]]:
        account = mapping(self._read("privateGetAccount", {"omitZeroBalances": "true"}).data, "the answer")
        for row in rows(account.get("balances"), "the list of balances"):
            yield self._client.currency(text(row, "asset")), number(row, "free") + number(row, "locked")


def _state(status: str, filled: Decimal, quantity: Decimal) -> OrderState:
    if status == _REFUSED and not filled:
        return OrderState.REJECTED
    if status not in _WORKING | _DONE:
        msg = f"its status is {status[:40]!r}"
        raise DataError(msg)
    return state_of(working=status in _WORKING, filled=filled, quantity=quantity)
