"""Studies, their trials and forks, backtests, and the parameters that were approved."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create what research leaves behind."""
    apply_sql("0006_research")
