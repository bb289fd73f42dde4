"""Rule strategies: pure functions from a symbol's candles to the position they want, and what shares money among them.

One strategy a file, one line each in `registry.py`. A strategy knows no account, no order and no price it could trade
at; engines, risk and execution are elsewhere.
"""
