"""Market data before it is stored: archives, venue history, the simulated market, roll-ups, gaps and contracts.

Nothing here touches the database (that is `store/`), and nothing looks at what a candle means (that is `indicators/`).
"""
