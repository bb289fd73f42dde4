"""Where candles come from and where orders go: the feed and the desk of a run's session."""

import dagster as dg

from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.operations.feed import Feed, choose_feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database


class FeedResource(dg.ConfigurableResource[Feed]):
    """Hands out the `Feed` of the session."""

    session: dg.ResourceDependency[Session]

    def create_resource(self, context: dg.InitResourceContext) -> Feed:  # noqa: ARG002
        """Simulated market, venue, or nothing where an archive is replayed."""
        return choose_feed(self.session)


class DeskResource(dg.ConfigurableResource[Desk]):
    """Hands out the `Desk` of the session, at the prices of now."""

    session: dg.ResourceDependency[Session]
    database: dg.ResourceDependency[Database]

    def create_resource(self, context: dg.InitResourceContext) -> Desk:  # noqa: ARG002
        """On the paper venue, or at the venue itself where the profile trades real money."""
        from triplegain_pipelines.operations.desks import session_desk

        return session_desk(self.database, self.session)
