"""Modes, emergency stop, credentials, arming; transitions that cannot be written, resolving, dust, flows."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create what risk and live trading need."""
    apply_sql("0004_operations")
    for schema in ("paper_trading", "live_trading"):
        apply_sql("0004_orders", schema=schema)
