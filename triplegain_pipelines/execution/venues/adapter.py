"""What the adapters of all venues share: one sending for an order, and what its outcome means.

A venue's own module says how its requests are spelt and how its answers are read, and nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import DataError, InputError, UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import (
    Execution,
    Intent,
    OrderReference,
    OrderState,
    OrderType,
    RestingAtVenue,
    Side,
    VenueOrder,
)
from triplegain_pipelines.execution.broker import NotExecutedError, VenueRejectionError, VenueTraits
from triplegain_pipelines.execution.venues.client import Answer, Failure, PrivateClient
from triplegain_pipelines.execution.venues.markets import Market, Markets
from triplegain_pipelines.execution.venues.outcomes import Meaning, Request, meaning_of
from triplegain_pipelines.execution.venues.tickets import Ticket, ticket_of
from triplegain_pipelines.settings.profile import LiveSettings


@dataclass(frozen=True, slots=True)
class Found:
    """An order as a venue lists it, with its trades. `filled` is what the order itself says was filled."""

    venue_order_id: str
    state: OrderState
    filled: Decimal
    trades: tuple[Execution, ...]
    raw: str


class VenueAdapter(ABC):
    """A `Broker` over a `PrivateClient`.

    Args:
        name: of the venue in our tables.
        client: signs and sends.
        live: how long a request lasts, how far a limit lies beyond its price.
        clock: tells the present.
    """

    def __init__(self, name: str, client: PrivateClient, live: LiveSettings, clock: Clock) -> None:
        self.venue = name
        self._client, self._live, self._clock = client, live, clock
        self._markets = Markets(self._listed, clock)

    @property
    @abstractmethod
    def traits(self) -> VenueTraits:
        """What the venue can do."""

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
        """Send the order once. What a market order filled at once is asked for after it, and left out if that fails.

        Raises:
            VenueRejectionError: the venue refused it for certain, or it was not sent because the venue would.
            NotExecutedError: it was not taken for certain: not sent in time, or the venue was busy.
            UnknownOutcomeError: no answer came that can be read.
        """
        ticket = self._ticket(intent, sent_at, expires_at)
        what = f"the {intent.leg.value} order {intent.client_order_id} of {intent.symbol}"
        endpoint, parameters = self._creation(ticket)
        result = self._client.send(endpoint, parameters, at=sent_at, not_after=expires_at)
        if isinstance(result, Failure):
            self._markets.forget()  # it may have been refused for a step or a minimum that has changed
            raise self._refusal(Request.CREATE, result, what)
        try:
            venue_order_id = self._created(result, ticket)
        except DataError as error:
            msg = f"{self.venue} answered {what} with what cannot be read ({error}); it is looked up"
            raise UnknownOutcomeError(msg) from error
        accepted = VenueOrder(ticket.client_order_id, venue_order_id, OrderState.OPEN, (), result.text)
        return self._with_first_fills(accepted, ticket) if intent.order_type is OrderType.MARKET else accepted

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Ask for the cancellation, then for the order: only what the venue says of the order itself counts.

        Raises:
            VenueRejectionError: the venue knows no such order.
            UnknownOutcomeError: no answer came, or the order is still open.
        """
        what = f"the cancel of order {order.client_order_id}"
        try:
            endpoint, parameters = self._cancellation(order)
        except UnavailableError as error:
            msg = f"{self.venue} did not give its markets, so {what} was not sent: {error}"
            raise UnknownOutcomeError(msg) from error
        result = self._client.send(endpoint, parameters)
        if isinstance(result, Failure) and self._meaning(Request.CANCEL, result) is not Meaning.REJECTED:
            msg = f"{self.venue} did not confirm {what} ({result}); the order is looked up"
            raise UnknownOutcomeError(msg)
        found = self._after(order, result, what)
        refused = str(result) if isinstance(result, Failure) else self._refused_cancel(result)
        if found is None and refused is not None:
            msg = f"{self.venue} knows no order {order.client_order_id} that could be cancelled ({refused})"
            raise VenueRejectionError(msg, result.text)
        if found is None or not found.state.is_final:
            msg = (
                f"{self.venue} has not cancelled order {order.client_order_id} yet ({refused or 'accepted'}); ask again"
            )
            raise UnknownOutcomeError(msg)
        return found

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """The order as the venue knows it, with its trades; None: it does not know it now.

        Raises:
            UnavailableError: the venue cannot be asked, or its trades do not add up to the order yet.
        """
        with self._reading(f"order {order.client_order_id}"):
            found = self._found(order)
        if found is None:
            return None
        traded = sum((trade.quantity for trade in found.trades), Decimal(0))
        if traded != found.filled:
            msg = (
                f"{self.venue} says that {found.filled} of order {order.client_order_id} is filled, but lists trades "
                f"of {traded}; ask again"
            )
            raise UnavailableError(msg)
        fills = tuple(trade.of(order.client_order_id) for trade in found.trades)
        return VenueOrder(order.client_order_id, found.venue_order_id, found.state, fills, found.raw)

    def open_orders(self) -> tuple[RestingAtVenue, ...]:
        """Every open order of the account.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        with self._reading("the open orders"):
            return tuple(self._resting())

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Every trade of the account from `since` on, oldest first.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        with self._reading("the trades"):
            trades = {trade.trade_id: trade for trade in self._traded(since) if trade.filled_at >= since}
        return tuple(sorted(trades.values(), key=lambda trade: (trade.filled_at, trade.trade_id)))

    def balances(self) -> Mapping[str, Decimal] | None:
        """What the account owns by currency, what its orders hold included.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        owned: dict[str, Decimal] = {}
        with self._reading("the balances"):
            for currency, amount in self._owned():
                owned[currency] = owned.get(currency, Decimal(0)) + amount
        return {currency: amount for currency, amount in owned.items() if amount}

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:
        """Steps and minimums as the venue had them a day ago at most.

        Raises:
            UnavailableError: the venue cannot be asked.
            InputError: it does not trade one of them.
        """
        return self._markets.instruments(symbols)

    def keep_alive(self, timeout: timedelta | None) -> None:
        """Refused: only an adapter whose traits say so has a dead-man timer.

        Raises:
            UnavailableError: always.
        """
        msg = f"{self.venue} has no dead-man timer that could be set to {timeout}"
        raise UnavailableError(msg)

    @abstractmethod
    def _listing(self) -> str:
        """The endpoint that lists the markets."""

    @abstractmethod
    def _markets_of(self, data: Any) -> Iterable[Market]:  # noqa: ANN401 - it is what JSON holds
        """The markets in the answer of that endpoint."""

    @abstractmethod
    def _creation(self, ticket: Ticket) -> tuple[str, dict[str, Any]]:
        """Endpoint and parameters of a new order."""

    @abstractmethod
    def _created(self, answer: Answer, ticket: Ticket) -> str:
        """The venue's id of the order that it says it has accepted; DataError if it does not say that."""

    @abstractmethod
    def _cancellation(self, order: OrderReference) -> tuple[str, dict[str, Any]]:
        """Endpoint and parameters of a cancel."""

    @abstractmethod
    def _found(self, order: OrderReference) -> Found | None:
        """The order as the venue lists it."""

    @abstractmethod
    def _resting(self) -> Iterator[RestingAtVenue]:
        """Every open order."""

    @abstractmethod
    def _traded(self, since: datetime) -> Iterator[Execution]:
        """Every trade from `since` on, in any order; earlier and doubled ones do not matter."""

    @abstractmethod
    def _owned(self) -> Iterator[tuple[str, Decimal]]:
        """Currencies and amounts; a currency may come several times."""

    def _cancelled_id(self, answer: Answer, order: OrderReference) -> str | None:  # noqa: ARG002
        """The venue's id of an order, where the answer to its cancel gives it."""
        return order.venue_order_id

    def _refused_cancel(self, answer: Answer) -> str | None:  # noqa: ARG002
        """Why a cancel was refused, where the venue says so in a good answer."""
        return None

    @property
    def _expiry(self) -> timedelta:
        """How long a request that the venue is told to refuse late can be accepted."""
        return timedelta(seconds=self._live.expiry_seconds)

    def _read(self, endpoint: str, parameters: Mapping[str, Any]) -> Answer:
        """One question; its failure is an UnavailableError."""
        result = self._client.ask(endpoint, parameters)
        if isinstance(result, Failure):
            raise self._unanswered(endpoint, result)
        return result

    def _unanswered(self, endpoint: str, failure: Failure) -> UnavailableError:
        return UnavailableError(f"{self.venue} did not answer {endpoint} ({failure}); it may work later")

    def _meaning(self, request: Request, failure: Failure) -> Meaning:
        return meaning_of(self._client.identity, request, failure)

    def _refusal(self, request: Request, failure: Failure, what: str) -> Exception:
        """The error for a request that failed."""
        meaning = self._meaning(request, failure)
        if meaning is Meaning.REJECTED:
            return VenueRejectionError(f"{self.venue} refused {what} ({failure})", failure.text)
        if meaning is Meaning.NOT_EXECUTED:
            return NotExecutedError(f"{self.venue} did not take {what} ({failure}); it may later", failure.text)
        return UnknownOutcomeError(f"{self.venue} may or may not have taken {what} ({failure}); it is looked up")

    def _listed(self) -> tuple[Market, ...]:
        with self._reading("the markets"):
            listed = tuple(self._markets_of(self._read(self._listing(), {}).data))
        if not listed:
            msg = f"{self.venue} lists no market at all; it may work later"
            raise UnavailableError(msg)
        return listed

    def _market(self, symbol: str) -> Market:
        """The market of an order that the venue was sent; that it trades it no more does not say what became of it."""
        try:
            return self._markets.of(symbol)
        except InputError as error:
            raise UnavailableError(str(error)) from error

    def _ticket(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> Ticket:
        try:
            market = self._markets.of(intent.symbol)
        except InputError as error:
            raise VenueRejectionError(str(error)) from error
        except UnavailableError as error:
            msg = f"{self.venue} did not give its markets, so nothing was sent: {error}"
            raise NotExecutedError(msg) from error
        return ticket_of(intent, market, sent_at, expires_at)

    def _with_first_fills(self, accepted: VenueOrder, ticket: Ticket) -> VenueOrder:
        try:
            found = self.lookup(ticket.reference(accepted.venue_order_id))
        except UnavailableError:
            found = None  # it is accepted for certain; what was filled is asked for again by whoever holds the account
        return accepted if found is None else replace(found, raw=f"{accepted.raw}\n{found.raw}")

    def _after(self, order: OrderReference, result: Answer | Failure, what: str) -> VenueOrder | None:
        """The order after a request about it was answered."""
        try:
            with self._reading(what):
                known = order.venue_order_id if isinstance(result, Failure) else self._cancelled_id(result, order)
            return self.lookup(replace(order, venue_order_id=known))
        except UnavailableError as error:
            msg = f"{self.venue} answered {what}, but cannot tell what came of it: {error}"
            raise UnknownOutcomeError(msg) from error

    def _require_same(self, order: OrderReference, market: Market | None, side: Side) -> None:
        """See that the venue speaks of the order that was asked for."""
        if market is None or market.symbol != order.symbol or side is not order.side:
            listed = "another market" if market is None else market.symbol
            msg = f"it is to {order.side.value} {order.symbol}, but is listed as {side.value} of {listed}"
            raise DataError(msg)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Turn an answer of another shape into an UnavailableError: what it says is not known."""
        try:
            yield
        except DataError as error:
            msg = f"{self.venue} gave an answer about {what} that cannot be read: {error}; it may work later"
            raise UnavailableError(msg) from error
