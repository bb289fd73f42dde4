"""The trading core: everything that decides, sizes, trades and measures. It knows nothing of Dagster."""
