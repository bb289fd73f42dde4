"""What the order path asks of a venue. Adapters of real venues and the paper venue obey it.

An adapter never retries a submission. What it cannot tell for certain it says so.
"""

from typing import Protocol
from uuid import UUID

from triplegain_pipelines.domain.errors import PermanentError
from triplegain_pipelines.domain.orders import Intent, VenueOrder


class VenueRejectionError(PermanentError):
    """The venue refused for certain: nothing of the request exists there."""


class Broker(Protocol):
    """One account's access to a venue."""

    @property
    def venue(self) -> str:
        """Name of the venue; with a trade id it identifies a fill."""
        ...

    def submit(self, intent: Intent) -> VenueOrder:
        """Send the order once.

        Raises:
            VenueRejectionError: the venue refused it for certain.
            UnknownOutcomeError: no answer came, so the order may or may not exist.
        """
        ...

    def cancel(self, client_order_id: UUID) -> VenueOrder:
        """Ask for the cancellation of an order, and return the order as it is then: a fill may have come first.

        Raises:
            VenueRejectionError: the venue knows no such order.
            UnknownOutcomeError: no answer came.
        """
        ...

    def lookup(self, client_order_id: UUID) -> VenueOrder | None:
        """The order as the venue knows it, open or closed, or None if it never arrived and never will.

        Raises:
            UnavailableError: the venue cannot be asked, or cannot tell yet.
        """
        ...
