"""Dagster: what reacts. A sensor's body is short: it acts inside the tick or asks for one run."""
