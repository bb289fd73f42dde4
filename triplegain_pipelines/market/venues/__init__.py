"""What venues answer over REST: candles, trades, prices and their clock, within their limits, by ccxt.

ccxt goes no further than this package.
"""
