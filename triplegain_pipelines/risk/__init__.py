"""The risk engine: verdicts, sizing, the drawdown ladder, circuit breakers. Pure functions; no database, no clock."""
