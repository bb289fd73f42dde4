"""Dagster: what runs, and when. A schedule stands beside the job it starts."""
