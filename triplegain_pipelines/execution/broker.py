"""What the order path asks of a venue. Adapters of real venues and the paper venue obey it.

An adapter never retries a submission. What it cannot tell for certain it says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from triplegain_pipelines.domain.errors import PermanentError, TransientError, UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Execution, Intent, OrderReference, RestingAtVenue, VenueOrder


class VenueRejectionError(PermanentError):
    """The venue refused for certain: nothing of the request exists there. `raw` is what it said."""

    def __init__(self, message: str, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw


class NotExecutedError(TransientError):
    """The venue did not take the request for certain, for a reason that passes: busy, a nonce. `raw` is what it said.

    Nothing of it exists, and a new attempt may be made later.
    """

    def __init__(self, message: str, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw


@dataclass(frozen=True, slots=True)
class VenueTraits:
    """What a venue can do, as far as the order path works differently by it.

    `absence_is_final`: once it says that it does not know an order it takes none under that id (the paper venue);
    elsewhere a look-up that finds nothing proves nothing before the request has expired. `expiry` is how long after
    its sending a request can still be accepted. `holds_pairs`: stop and target rest together and one fill cancels the
    other; elsewhere only the stop rests, and the guardian holds the target. `holds_stops`: a stop can rest there;
    elsewhere the guardian holds that too.
    `dead_man_timer`: it cancels all orders when it is not told to wait any longer.
    """

    absence_is_final: bool
    expiry: timedelta
    holds_pairs: bool
    holds_stops: bool
    dead_man_timer: bool


class Broker(Protocol):
    """One account's access to a venue."""

    @property
    def venue(self) -> str:
        """Name of the venue; with a trade id it identifies a fill."""
        ...

    @property
    def traits(self) -> VenueTraits:
        """What the venue can do."""
        ...

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
        """Send the order once.

        Args:
            intent: committed, and with its quantities and prices on the venue's grid.
            sent_at: the moment that is stored as that of the sending. Where the venue compares the time of a request,
                this is the time it is given: what a process sends that was asleep in between, the venue refuses.
            expires_at: after this the venue must not take the order any more; later, nothing is sent.

        Raises:
            VenueRejectionError: the venue refused it for certain.
            NotExecutedError: the venue did not take it for certain, but may later.
            UnknownOutcomeError: no answer came, so the order may or may not exist.
        """
        ...

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Ask for the cancellation of an order, and return the order as it is then: a fill may have come first.

        Raises:
            VenueRejectionError: the venue knows no such order.
            UnknownOutcomeError: no answer came, or the order is still open.
        """
        ...

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """The order as the venue knows it, open or closed, with its trades; None if it does not know it now.

        Raises:
            UnavailableError: the venue cannot be asked, or cannot tell yet.
        """
        ...

    def open_orders(self) -> tuple[RestingAtVenue, ...]:
        """Every open order of the account at the venue, whoever sent it.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        ...

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Every trade of the account at the venue from `since` on, oldest first.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        ...

    def balances(self) -> Mapping[str, Decimal] | None:
        """What the account owns at the venue by currency, what its orders hold included; None: it keeps no balances.

        Raises:
            UnavailableError: the venue cannot be asked.
        """
        ...

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:
        """Steps and minimums of `symbols`, by which orders are sent now.

        Raises:
            UnavailableError: the venue cannot be asked.
            InputError: it does not trade one of them.
        """
        ...

    def keep_alive(self, timeout: timedelta | None) -> None:
        """Set the dead-man timer to `timeout` from now, or switch it off with None. Only where `traits` have it.

        Raises:
            UnavailableError: the venue did not confirm it.
        """
        ...


class NoAccess:
    """The broker of a desk that sends nothing: what a person does to an account by hand, without the venue's keys.

    It answers nothing, so no question to it can be taken for an empty answer.
    """

    traits = VenueTraits(
        absence_is_final=False,
        expiry=timedelta(0),
        holds_pairs=False,
        holds_stops=False,
        dead_man_timer=False,
    )

    def __init__(self, venue: str) -> None:
        self.venue = venue

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:  # noqa: ARG002
        """Nothing is sent."""
        raise NotExecutedError(self._message)

    def cancel(self, order: OrderReference) -> VenueOrder:  # noqa: ARG002
        """Nothing is asked."""
        raise UnknownOutcomeError(self._message)

    def lookup(self, order: OrderReference) -> VenueOrder | None:  # noqa: ARG002
        """Nothing is known."""
        raise UnavailableError(self._message)

    def open_orders(self) -> tuple[RestingAtVenue, ...]:
        """Nothing is known."""
        raise UnavailableError(self._message)

    def executions(self, since: datetime) -> tuple[Execution, ...]:  # noqa: ARG002
        """Nothing is known."""
        raise UnavailableError(self._message)

    def balances(self) -> Mapping[str, Decimal] | None:
        """Nothing is known."""
        raise UnavailableError(self._message)

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:  # noqa: ARG002
        """Nothing is known."""
        raise UnavailableError(self._message)

    def keep_alive(self, timeout: timedelta | None) -> None:  # noqa: ARG002
        """Nothing is asked."""
        raise UnavailableError(self._message)

    @property
    def _message(self) -> str:
        return f"this process has no access to {self.venue}; the guardian and the order path have, once live is armed"
