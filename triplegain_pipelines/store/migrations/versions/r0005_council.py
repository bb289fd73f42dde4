"""Calls of models and their budget, shadow pools, the leaderboard's evidence, imported records of models."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create what six models are asked, paid and judged by."""
    for subject in ("calls", "budget", "shadows", "leaderboard", "recorded"):
        apply_sql(f"0005_{subject}")
