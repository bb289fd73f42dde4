"""Dagster: what it talks to. Thin factories that hand plain core objects to assets, ops and sensors."""
