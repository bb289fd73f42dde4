"""Technical indicators over candle frames: floats in, floats out, no clock, no storage, no opinion.

The set and the warm-up rule are in `registry`. What an indicator means for a trade belongs to `agents`.
"""
