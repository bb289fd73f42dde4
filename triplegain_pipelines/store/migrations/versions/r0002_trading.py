"""The trading tables, from one definition for paper and live."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create `paper_trading` and `live_trading`."""
    for schema in ("paper_trading", "live_trading"):
        apply_sql("0002_trading", schema=schema)
