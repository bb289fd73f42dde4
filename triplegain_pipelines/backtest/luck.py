"""How much of a market order is filled at once: a number that depends on the seed, the moment and the leg alone.

A counter-based generator needs no state, so it gives the same luck in whichever order, thread or engine it is asked.
The compiled copy in `kernel_walk.py` gives the same bits. The generator is splitmix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014; constants of Vigna's splitmix64.c).
"""

ENTRY_LEG = 0
EXIT_LEG = 1
FEWEST_SHARE = 0.2
SHARE_SPAN = 0.6
_MASK = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN = 0x9E37_79B9_7F4A_7C15
FIRST_FACTOR = 0xBF58_476D_1CE4_E5B9
SECOND_FACTOR = 0x94D0_49BB_1331_11EB
_UNIT = 2.0**-53


def first_share(seed: int, opened_at: int, leg: int, fill_rate: float) -> float:
    """Share of a market order that is filled at the first price: 1.0, or now and then 0.2 to 0.8.

    Args:
        seed: of the backtest's terms.
        opened_at: when the bar opened at whose open the order is filled, in microseconds since the Unix epoch.
        leg: 0 for an entry, 1 for an exit.
        fill_rate: share of orders that are filled in one piece.
    """
    state = splitmix64(splitmix64(splitmix64(seed & _MASK) ^ (opened_at & _MASK)) ^ leg)
    if (state >> 11) * _UNIT < fill_rate:
        return 1.0
    return FEWEST_SHARE + SHARE_SPAN * ((splitmix64(state) >> 11) * _UNIT)


def splitmix64(state: int) -> int:
    """The 64 bits that follow `state`.

    >>> hex(splitmix64(0))
    '0xe220a8397b1dcdaf'
    """
    mixed = (state + GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * FIRST_FACTOR) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * SECOND_FACTOR) & _MASK
    return mixed ^ (mixed >> 31)
