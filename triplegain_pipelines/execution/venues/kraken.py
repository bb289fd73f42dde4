"""Kraken: client ids unique among open orders only, a deadline in every order, stops, a dead-man timer."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.errors import DataError, UnavailableError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Execution, OrderReference, RestingAtVenue
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.venues.adapter import Found, VenueAdapter
from triplegain_pipelines.execution.venues.client import Answer, Failure
from triplegain_pipelines.execution.venues.markets import Market, readable
from triplegain_pipelines.execution.venues.numbers import spelt
from triplegain_pipelines.execution.venues.outcomes import words_of
from triplegain_pipelines.execution.venues.reading import (
    mapping,
    milliseconds,
    moment_of_seconds,
    number,
    rfc3339,
    side,
    state_of,
    text,
    text_if_any,
)
from triplegain_pipelines.execution.venues.tickets import Ticket

# One trade for each match: taken together, a trade would change while its order fills.
_SINGLY = {"consolidate_taker": "false"}
_WITH_TRADES = {"trades": "true", **_SINGLY}
_TRADES_A_QUERY = 20
_ORDERS_A_QUERY = 50
_ABSENT = frozenset({"EOrder:Unknown order", "EQuery:Unknown order", "EOrder:Invalid order"})
_WORKING = frozenset({"pending", "open"})
_DONE = frozenset({"closed", "canceled", "expired"})
# Earning rewards, and traded with the rest of the currency. What is bonded (.B, .S, .M) is not, and keeps its name.
_REWARDED = ".F"
_SKEW = timedelta(minutes=1)


class KrakenAdapter(VenueAdapter):
    """Orders at Kraken."""

    @property
    def traits(self) -> VenueTraits:
        """It holds stops at the market, and can cancel everything by itself."""
        return VenueTraits(
            absence_is_final=False,
            expiry=self._expiry,
            holds_pairs=False,
            holds_stops=True,
            dead_man_timer=True,
        )

    def keep_alive(self, timeout: timedelta | None) -> None:
        """Set the dead-man timer, which cancels all orders of the account, or switch it off.

        Raises:
            UnavailableError: the venue did not confirm it.
        """
        seconds = 0 if timeout is None else -(-timeout // timedelta(seconds=1))
        endpoint = "privatePostCancelAllOrdersAfter"
        result = self._client.send(endpoint, {"timeout": str(seconds)})
        if isinstance(result, Failure):
            raise self._unanswered(endpoint, result)
        with self._reading("the dead-man timer"):
            text(_result(result.data), "triggerTime")

    def _listing(self) -> str:
        return "publicGetAssetPairs"

    def _markets_of(self, data: Any) -> Iterable[Market]:  # noqa: ANN401 - it is what JSON holds
        def market(pair: tuple[str, Any]) -> Market:
            identity, row = pair[0], mapping(pair[1], "a market")
            base, quote = (self._client.currency(text(row, part)) for part in ("base", "quote"))
            decimals = (Decimal(1).scaleb(-int(number(row, f"{part}_decimals"))) for part in ("lot", "pair"))
            quantity_step, price_step = decimals
            return Market(
                identity,
                frozenset({identity, text(row, "altname")}),
                Instrument(
                    symbol=f"{base}/{quote}",
                    quantity_step=quantity_step,
                    price_step=number(row, "tick_size") if "tick_size" in row else price_step,
                    minimum_quantity=number(row, "ordermin"),
                    minimum_cost=number(row, "costmin"),
                ),
            )

        return readable(_result(data).items(), market)

    def _creation(self, ticket: Ticket) -> tuple[str, dict[str, Any]]:
        kind = {"ordertype": "market"}
        if ticket.trigger is not None:
            kind = {"ordertype": "stop-loss", "price": spelt(ticket.trigger)}
        return "privatePostAddOrder", {
            "pair": ticket.market.identity,
            "type": ticket.side.value.lower(),
            **kind,
            "volume": spelt(ticket.quantity),
            "cl_ord_id": str(ticket.client_order_id),
            "oflags": "fciq",  # the fee is taken in the quote currency on both sides
            "deadline": rfc3339(ticket.expires_at),
        }

    def _created(self, answer: Answer, ticket: Ticket) -> str:  # noqa: ARG002
        identities = _result(answer.data).get("txid")
        if isinstance(identities, list) and len(identities) == 1 and isinstance(identities[0], str) and identities[0]:
            return identities[0]
        msg = f"the new order has the ids {str(identities)[:80]!r}, not one"
        raise DataError(msg)

    def _cancellation(self, order: OrderReference) -> tuple[str, dict[str, Any]]:
        return "privatePostCancelOrder", {"cl_ord_id": str(order.client_order_id)}

    def _found(self, order: OrderReference) -> Found | None:
        listed = self._row(order)
        if listed is None:
            return None
        identity, row = listed
        about = mapping(row.get("descr"), "the description of an order")
        self._require_same(order, self._markets.called(text(about, "pair")), side(text(about, "type")))
        filled, status = number(row, "vol_exec"), text(row, "status")
        if status not in _WORKING | _DONE:
            msg = f"its status is {status[:40]!r}"
            raise DataError(msg)
        trades = self._trades(row.get("trades", []))
        return Found(
            identity,
            state_of(working=status in _WORKING, filled=filled, quantity=number(row, "vol")),
            filled,
            tuple(self._execution(trade_id, trade) for trade_id, trade in trades.items()),
            json.dumps({"order": {identity: row}, "trades": trades}, default=str),
        )

    def _row(self, order: OrderReference) -> tuple[str, Mapping[str, Any]] | None:
        """The order by the venue's id; else by ours among open, then closed orders, then among those that traded.

        In that order, so that one that closes in between is not missed.
        """
        if order.venue_order_id is not None:
            known = self._orders([order.venue_order_id])
            if order.venue_order_id in known:
                return order.venue_order_id, known[order.venue_order_id]
        own = str(order.client_order_id)
        for endpoint, part in (("privatePostOpenOrders", "open"), ("privatePostClosedOrders", "closed")):
            result = _result(self._read(endpoint, {"cl_ord_id": own, **_WITH_TRADES}).data)
            listed = _only(own, mapping(result.get(part), f"the list of {part} orders"))
            if listed is not None:
                return listed
        traded = {trade.venue_order_id for trade in self._traded(order.sent_at - _SKEW)}
        return _only(own, self._orders(sorted(traded))) if traded else None

    def _orders(self, identities: list[str]) -> dict[str, Any]:
        endpoint, found = "privatePostQueryOrders", dict[str, Any]()
        for start in range(0, len(identities), _ORDERS_A_QUERY):
            some = ",".join(identities[start : start + _ORDERS_A_QUERY])
            result = self._client.ask(endpoint, {"txid": some, **_WITH_TRADES})
            if isinstance(result, Answer):
                found.update(_result(result.data))
            elif not 0 < len(words := set(words_of("kraken", result.data))) == len(words & _ABSENT):
                raise self._unanswered(endpoint, result)
        return found

    def _trades(self, identities: object) -> dict[str, Any]:
        if not isinstance(identities, list) or not all(isinstance(one, str) and one for one in identities):
            msg = f"its trades are {str(identities)[:80]!r}, no list of ids"
            raise DataError(msg)
        found: dict[str, Any] = {}
        for start in range(0, len(identities), _TRADES_A_QUERY):
            some = ",".join(identities[start : start + _TRADES_A_QUERY])
            found.update(_result(self._read("privatePostQueryTrades", {"txid": some}).data))
        return {one: found[one] for one in identities if one in found}

    def _execution(self, trade_id: str, value: object) -> Execution:
        row = mapping(value, "a trade")
        market = self._markets.called(text(row, "pair"))
        if market is None:
            msg = f"trade {trade_id} is of the unknown market {text(row, 'pair')[:40]!r}"
            raise DataError(msg)
        return Execution(
            venue=self.venue,
            trade_id=trade_id,
            venue_order_id=text(row, "ordertxid"),
            symbol=market.symbol,
            side=side(text(row, "type")),
            quantity=number(row, "vol"),
            price=number(row, "price"),
            fee=number(row, "fee"),
            fee_currency=market.instrument.quote,
            filled_at=moment_of_seconds(number(row, "time")),
        )

    def _resting(self) -> Iterator[RestingAtVenue]:
        listed = _result(self._read("privatePostOpenOrders", {}).data).get("open")
        for identity, value in mapping(listed, "the list of open orders").items():
            row = mapping(value, "an open order")
            about = mapping(row.get("descr"), "the description of an order")
            market = self._markets.called(text(about, "pair"))
            yield RestingAtVenue(
                venue_order_id=identity,
                client_order_id=text_if_any(row, "cl_ord_id"),
                symbol=text(about, "pair") if market is None else market.symbol,
                side=side(text(about, "type")),
                quantity=number(row, "vol"),
                filled_quantity=number(row, "vol_exec"),
            )

    def _traded(self, since: datetime) -> Iterator[Execution]:
        # The venue leaves out what is exactly of `start`, and counts whole seconds.
        start, found, total = str(milliseconds(since) // 1000 - 1), dict[str, Any](), 1
        while len(found) < total:
            page = {"start": start, "ofs": str(len(found)), **_SINGLY}
            result = _result(self._read("privatePostTradesHistory", page).data)
            total, known = int(number(result, "count")), len(found)
            found.update(mapping(result.get("trades"), "the list of trades"))
            if len(found) == known < total:
                msg = f"{self.venue} says there are {total} trades, but gives {known}; it may work later"
                raise UnavailableError(msg)
        return (self._execution(trade_id, row) for trade_id, row in found.items())

    def _owned(self) -> Iterator[tuple[str, Decimal]]:
        for asset, value in _result(self._read("privatePostBalanceEx", {}).data).items():
            balance = number(mapping(value, "a balance"), "balance")
            yield self._client.currency(asset.removesuffix(_REWARDED)), balance


def _result(data: object) -> Mapping[str, Any]:
    return mapping(mapping(data, "the answer").get("result"), "the result")


def _only(client_order_id: str, orders: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The one order of that id.

    Raises:
        DataError: there are two.
    """
    own = {
        identity: row
        for identity, row in ((identity, mapping(row, "an order")) for identity, row in orders.items())
        if row.get("cl_ord_id") == client_order_id
    }
    if len(own) > 1:
        msg = f"the orders {', '.join(own)} all have the client id {client_order_id}"
        raise DataError(msg)
    return next(iter(own.items()), None)
