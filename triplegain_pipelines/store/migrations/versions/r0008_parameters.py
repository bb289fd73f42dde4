"""Approved parameters hold for one venue, and those that are not significant are approved knowingly."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Tell venues apart, and keep which verdict was set aside."""
    apply_sql("0008_parameters")
