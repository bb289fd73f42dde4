"""History worked through with the same order path, risk engine and paper venue as live: prices, walk, summary."""
