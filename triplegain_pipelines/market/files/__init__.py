"""Files that people have on disk: candles, trades and quotes, known by their content, checked and refused whole.

Nothing here touches the database.
"""
