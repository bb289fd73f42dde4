"""Alembic environment and revisions in plain SQL."""
