"""The real venues behind the `Broker` protocol: Kraken, Binance and Coinbase, signed and sent by ccxt.

ccxt signs a request, sends it and names the errors. Its endpoints are called directly: the one `create_order` for all
venues drops ids, turns numbers into floats and fills in what was not asked for. What ccxt answers goes no further than
this package.
"""
