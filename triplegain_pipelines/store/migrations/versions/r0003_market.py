"""Trades, top of book, findings, back-fills, sources, streams, fear and greed, alerts."""

from triplegain_pipelines.store.migrations.apply import apply_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create what market data needs beyond candles."""
    apply_sql("0003_market")
