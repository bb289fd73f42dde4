"""Alembic revisions. Each runs the SQL file of its own name."""
