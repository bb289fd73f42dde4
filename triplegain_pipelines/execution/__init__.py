"""From a decision to a filled order: the order path, the paper venue, the guard. No market analysis, no Dagster."""
