"""Dagster: what exists. One module a group; an asset reads through a resource, calls the core, writes, reports."""

import warnings

import dagster as dg

# Backfill policies and owners are 'beta' in Dagster; its version is pinned, and the tests run what is used of them.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
