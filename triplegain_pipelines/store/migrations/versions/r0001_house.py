"""Market, research, operations and the paper venue."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the schemas and tables."""
    apply_sql("0001_house")
