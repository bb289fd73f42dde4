"""Studies, their trials and forks, backtests, and the parameters that were approved."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create what research leaves behind."""
    for subject in ("research", "backtests", "allocations"):
        apply_sql(f"0006_{subject}")
