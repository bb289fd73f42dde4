"""Dagster: what exists. One module a group; an asset reads through a resource, calls the core, writes, reports."""
