"""Portfolio accounting: proposals, positions, the ledger, valuation. Pure functions; no database, no clock."""
