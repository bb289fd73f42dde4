"""The one warm-up rule: how many times its period an indicator needs until the start of the frame is forgotten.

A window forgets exactly. An exponential average keeps e^-10 of its start after 5 periods; Wilder's smoothing, whose
factor is half as large, after 10. What is smoothed twice needs the sum of both periods, and what looks back at smoothed
values needs the bars it looks back as well.
"""

WINDOWED = 1
EXPONENTIAL = 5
WILDER = 10
