"""Exchanges on loopback: they speak the public REST of real venues, with their limits, and fail on demand."""
