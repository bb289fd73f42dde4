"""Side questions to a seat, and headlines that a seat scored."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Let calls of models be for something else than a forecast."""
    apply_sql("0007_errands")
