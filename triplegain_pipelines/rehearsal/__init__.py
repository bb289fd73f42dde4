"""Exchanges on loopback: what a rehearsal of live trading trades against, with faults on."""
