"""What venues stream over WebSocket: trades, forming candles and books, by ccxt's streaming client.

ccxt goes no further than this package.
"""
