"""For whom and on which market a run works: the profile's account, unless the run's config names a replay."""

import dagster as dg
from pydantic import Field

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import settings


class SessionResource(dg.ConfigurableResource[Session]):
    """Hands out `Session`. Empty fields mean the profile's own."""

    account: str = ""
    venue: str = ""
    symbols: list[str] = Field(default_factory=list)
    replay: bool = False

    def create_resource(self, context: dg.InitResourceContext) -> Session:  # noqa: ARG002
        """The session of this run."""
        own = settings()
        return Session(
            account=self.account or own.profile.account,
            venue=self.venue or own.profile.venue,
            symbols=tuple(self.symbols) or own.profile.symbols,
            replay=self.replay,
            settings=own,
            clock=SystemClock(),
        )
