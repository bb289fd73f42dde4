"""Judging after the event: outcomes of forecasts, their scores, performance, benchmarks and the validation report.

Nothing here decides or trades, and no decision reads from here.
"""
