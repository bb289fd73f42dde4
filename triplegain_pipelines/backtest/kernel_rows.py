"""Rows that the compiled walk reads and writes. Their names and types are part of every compilation's key."""

import numpy as np

BY_SIGNAL, BY_STOP, BY_TAKE_PROFIT = 0, 1, 2

TERMS = np.dtype(
    [(name, np.float64) for name in ("starting_equity", "fee", "slippage", "fill_rate", "risk_per_trade")]
    + [(name, np.float64) for name in ("max_position", "reward_to_risk", "stop_atr", "minimum_quantity")]
    + [(name, np.float64) for name in ("minimum_cost", "price_numerator", "price_denominator")]
    + [(name, np.float64) for name in ("quantity_numerator", "quantity_denominator")]
    + [("lowest_target", np.int64), ("seed", np.int64)]
)
"""The numbers of `Terms`, and a stop's distance in ATR. A step is a fraction of two whole numbers."""

TRADE = np.dtype(
    [(name, np.int64) for name in ("direction", "decided_bar", "entry_bar", "exit_bar", "exit_decided_bar", "ended_by")]
    + [("exited_inside", np.int64)]
    + [(name, np.float64) for name in ("entry_price", "exit_price", "quantity", "stop_price", "fees", "profit", "risk")]
)
"""A closed trade. `risk` is what its stop would have cost; `exited_inside` is 1 where it ended inside its last bar."""

TOTALS = np.dtype(
    [(name, np.int64) for name in ("trades", "wins", "losses", "held_bars", "open_at_end", "marked")]
    + [(name, np.float64) for name in ("gross_wins", "gross_losses", "fees", "final_equity")]
    + [("trades_hash", np.uint64)]
)
"""What the closed trades add up to, and how many marks were written."""

BOOK = np.dtype(
    [(name, np.int64) for name in ("direction", "fresh", "decided_bar", "entry_bar", "exit_decided_bar")]
    + [(name, np.int64) for name in ("entry_fills", "exit_fills")]
    + [(name, np.float64) for name in ("cash", "held", "entry_rest", "exit_rest", "stop", "take_profit", "distance")]
    + [(name, np.float64) for name in ("quantity", "entry_price", "exit_price", "spent", "earned", "fees", "risk")]
)
"""Cash, and the position if `direction` is not 0; `held`, `entry_rest` and `exit_rest` count steps."""
