"""Dagster: what exists. One module a group; an asset reads through a resource, calls the core, writes, reports."""

import warnings

import dagster as dg

# Ranges of days in one run are 'beta' in Dagster; its version is pinned, and the tests run them.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")
