"""The compiled walk of one account through bars. `kernel.run` and every combination of a sweep call this function.

It visits the bars at which something happens and skips the others.

Prices, quantities and fees equal those of exact decimal arithmetic. A number on a grid is a whole number of steps, held
exactly, and a product within its rounding error of a whole number is that number: 0.1 x 3 is three steps of 0.1 and not
a little more, so rounding up leaves it where it is. A step is a fraction of two whole numbers, so that
`steps * numerator / denominator` is rounded once, to the float that the decimal is spelt as.

Import this where numba may be imported. Nothing compiled comes from another module: numba's cache looks at the time of
this file only, and would go on with an old helper.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.backtest import luck
from triplegain_pipelines.backtest.compiled import compiled, inlined
from triplegain_pipelines.backtest.kernel_rows import BY_SIGNAL, BY_STOP, BY_TAKE_PROFIT

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Targets = npt.NDArray[np.int8]
Words = npt.NDArray[np.uint64]

BLOCK = 32
_A_WORD = 8
_EVERY_BYTE = np.uint64(0x0101_0101_0101_0101)
_RELATIVE = 1e-15  # a few roundings of 1.1e-16 each
_ABSOLUTE = 1e-9
_FEE_STEPS = 1e8
_HOPELESS = 1.0 - 1e-6
_ENTRY_LEG, _EXIT_LEG = luck.ENTRY_LEG, luck.EXIT_LEG
_GOLDEN = np.uint64(luck.GOLDEN)
_FIRST = np.uint64(luck.FIRST_FACTOR)
_SECOND = np.uint64(luck.SECOND_FACTOR)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53
_FEWEST, _SPAN = luck.FEWEST_SHARE, luck.SHARE_SPAN


class WalkedBars(NamedTuple):
    """The bars of a series, and the extremes of each whole block of them. Nothing here is written to."""

    opened_at: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    highs: Floats
    lows: Floats


class Desk(NamedTuple):
    """What one walk writes to, each used again by the next walk of the same thread.

    `book`, `totals` have one row. `trades` takes the first of the trades, as many as it has rows but the last, which
    is scratch. `equity` and `positions_value` have a place for each mark.
    """

    book: npt.NDArray[np.void]
    totals: npt.NDArray[np.void]
    trades: npt.NDArray[np.void]
    equity: Floats
    positions_value: Floats
    scratch: Floats


@compiled
def splitmix64(state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - numba infers what is compiled
    """The 64 bits that follow `state`, an unsigned number of 64 bits."""
    mixed = state + _GOLDEN
    mixed = (mixed ^ (mixed >> _S30)) * _FIRST
    mixed = (mixed ^ (mixed >> _S27)) * _SECOND
    return mixed ^ (mixed >> _S31)


@compiled
def first_share(seed: int, opened_at: int, leg: int, fill_rate: float) -> float:
    """As `luck.first_share`."""
    state = splitmix64(splitmix64(splitmix64(np.uint64(seed)) ^ np.uint64(opened_at)) ^ np.uint64(leg))
    if np.float64(state >> _S11) * _UNIT < fill_rate:
        return 1.0
    # The product is rounded before the sum, as in plain Python: a fused multiply-add would give other bits.
    return _FEWEST + _SPAN * (np.float64(splitmix64(state) >> _S11) * _UNIT)


@compiled
def snapped(steps: float, scale: float) -> float:
    """`steps`, or the whole number that it is but for rounding errors of numbers as large as `scale`."""
    nearest = math.floor(steps + 0.5)
    if abs(steps - nearest) <= _ABSOLUTE + _RELATIVE * scale:
        return nearest
    return steps


@compiled
def steps_up(steps: float, scale: float) -> float:
    """The smallest whole number of steps that is not under `steps`."""
    return math.ceil(snapped(steps, scale))


@compiled
def steps_down(steps: float, scale: float) -> float:
    """The largest whole number of steps that is not over `steps`."""
    return math.floor(snapped(steps, scale))


@compiled
def steps_of(price: float, numerator: float, denominator: float) -> tuple[float, float]:
    """How many steps `price` is: a whole number, and the fraction that is left of a price between two steps."""
    steps = price * denominator / numerator
    steps = snapped(steps, steps)
    whole = math.floor(steps)
    return whole, steps - whole


@compiled
def moved_up(whole: float, fraction: float, by: float) -> float:
    """`whole + fraction + by` rounded up; `by` is small beside `whole`, and so are the rounding errors of it."""
    return whole + steps_up(fraction + by, abs(by))


@compiled
def moved_down(whole: float, fraction: float, by: float) -> float:
    """`whole + fraction + by` rounded down."""
    return whole + steps_down(fraction + by, abs(by))


@compiled
def slipped(price: float, side: float, slippage: float, numerator: float, denominator: float) -> float:
    """As `matching.slipped`: `price` with slippage on the price grid, both against an order of `side` 1 or -1."""
    whole, fraction = steps_of(price, numerator, denominator)
    by = side * slippage * (whole + fraction)
    steps = moved_up(whole, fraction, by) if side > 0 else moved_down(whole, fraction, by)
    return max(steps, 1.0) * numerator / denominator


@compiled
def fee_of(quantity: float, price: float, rate: float) -> float:
    """As `matching.fee_of`: rounded up to eight decimals."""
    units = quantity * price * rate * _FEE_STEPS
    return steps_up(units, units) / _FEE_STEPS


@compiled
def block_extremes(high: Floats, low: Floats, highs: Floats, lows: Floats) -> None:
    """Highest and lowest price of each whole block of `BLOCK` bars, into `highs` and `lows`."""
    for block in range(len(highs)):
        top, bottom = -np.inf, np.inf
        for bar in range(block * BLOCK, (block + 1) * BLOCK):
            top, bottom = max(top, high[bar]), min(bottom, low[bar])
        highs[block], lows[block] = top, bottom


@inlined
def next_change(target: Targets, words: Words, bar: int, stop: int) -> int:
    """The first bar after `bar` whose target is another one, or `stop`. `words` are eight targets each."""
    value, at = target[bar], bar + 1
    while at < stop and at % _A_WORD != 0 and target[at] == value:
        at += 1
    if at % _A_WORD == 0:
        word, last = at // _A_WORD, stop // _A_WORD
        same = np.uint64(np.uint8(value)) * _EVERY_BYTE
        while word < last and words[word] == same:
            word += 1
        at = word * _A_WORD
    while at < stop and target[at] == value:
        at += 1
    return at


@inlined
def first_touch(bars: WalkedBars, upper: float, lower: float, bar: int, stop: int) -> int:
    """The first bar in `[bar, stop)` whose high reaches `upper` or whose low reaches `lower`, or `stop`."""
    at = bar
    while at < stop:
        block = at // BLOCK
        # What no bar of a block reaches, no bar of a part of it does.
        if block < len(bars.highs) and bars.highs[block] < upper and bars.lows[block] > lower:
            at = (block + 1) * BLOCK
            continue
        end = min((block + 1) * BLOCK, stop)
        while at < end:
            if bars.high[at] >= upper or bars.low[at] <= lower:
                return at
            at += 1
    return stop


@compiled
def worth(book: np.void, terms: np.void, price: float) -> float:
    """Signed value of the position at `price`."""
    size = book["held"] * terms["quantity_numerator"] / terms["quantity_denominator"]
    return float(book["direction"] * size * price)


@compiled
def set_levels(book: np.void, terms: np.void, direction: int, decided: float, atr: float) -> bool:
    """Stop and take profit as `risk.sizing.protective_levels`; False where risk would refuse them."""
    book["stop"] = 0.0
    if not atr > 0.0 or not np.isfinite(atr):
        return False
    numerator, denominator = terms["price_numerator"], terms["price_denominator"]
    whole, fraction = steps_of(decided, numerator, denominator)
    away = -direction * terms["stop_atr"] * atr * denominator / numerator
    # Up is towards the entry for a long stop and away from it for a long target; for a short both are down.
    stop = moved_up(whole, fraction, away) if direction > 0 else moved_down(whole, fraction, away)
    distance = whole - stop + fraction
    if stop <= 0.0 or direction * distance <= 0.0:
        return False
    away = terms["reward_to_risk"] * distance
    target = moved_up(whole, fraction, away) if direction > 0 else moved_down(whole, fraction, away)
    if target <= 0.0:
        return False
    book["distance"] = abs(distance) * numerator / denominator
    book["stop"] = stop * numerator / denominator
    book["take_profit"] = target * numerator / denominator
    return True


@compiled
def entry_steps(book: np.void, terms: np.void, decided: float) -> float:
    """Quantity of an entry in steps, 0.0 where it is below a minimum. The account is flat, and its levels are set."""
    numerator, denominator = terms["quantity_numerator"], terms["quantity_denominator"]
    by_risk = terms["risk_per_trade"] * book["cash"] / book["distance"] * denominator / numerator
    by_size = terms["max_position"] * book["cash"] / decided * denominator / numerator
    steps = steps_down(min(by_risk, by_size), min(by_risk, by_size))
    quantity = steps * numerator / denominator
    cost = quantity * decided
    if steps <= 0.0 or quantity < terms["minimum_quantity"] or cost < terms["minimum_cost"] * (1.0 - 1e-12):
        return 0.0
    return steps


@compiled
def first_part(steps: float, terms: np.void, opened_at: int, leg: int) -> float:
    """How many steps of a market order are filled at once; an order too small to be parted is filled whole."""
    share = first_share(terms["seed"], opened_at, leg, terms["fill_rate"])
    part = steps_down(steps * share, steps)
    return part if part > 0.0 else steps


@compiled
def fill_entry(book: np.void, terms: np.void, steps: float, price: float) -> None:
    """A fill of the entry at `price`, slippage included."""
    size = steps * terms["quantity_numerator"] / terms["quantity_denominator"]
    fee = fee_of(size, price, terms["fee"])
    book["cash"] -= book["direction"] * size * price + fee
    book["held"] += steps
    book["spent"] += size * price
    book["fees"] += fee
    book["risk"] += book["direction"] * size * (price - book["stop"])
    book["entry_fills"] += 1
    whole = book["held"] * terms["quantity_numerator"] / terms["quantity_denominator"]
    book["quantity"] = whole
    book["entry_price"] = price if book["entry_fills"] == 1 else book["spent"] / whole


@compiled
def fill_exit(book: np.void, terms: np.void, steps: float, price: float) -> None:
    """A fill of the exit at `price`, slippage included."""
    size = steps * terms["quantity_numerator"] / terms["quantity_denominator"]
    fee = fee_of(size, price, terms["fee"])
    book["cash"] += book["direction"] * size * price - fee
    book["held"] -= steps
    book["earned"] += size * price
    book["fees"] += fee
    book["exit_fills"] += 1
    book["exit_price"] = price if book["exit_fills"] == 1 else book["earned"] / book["quantity"]


@compiled
def close_trade(
    book: np.void, trade: np.void, totals: np.void, scratch: Floats, bar: int, ended_by: int, inside: int
) -> None:
    """Write the trade that ended in `bar`, add it to the totals, and leave the account flat."""
    profit = book["direction"] * (book["earned"] - book["spent"]) - book["fees"]
    trade["direction"], trade["decided_bar"] = book["direction"], book["decided_bar"]
    trade["entry_bar"], trade["exit_bar"] = book["entry_bar"], bar
    trade["exit_decided_bar"], trade["ended_by"], trade["exited_inside"] = book["exit_decided_bar"], ended_by, inside
    trade["entry_price"], trade["exit_price"] = book["entry_price"], book["exit_price"]
    trade["quantity"], trade["stop_price"] = book["quantity"], book["stop"]
    trade["fees"], trade["profit"], trade["risk"] = book["fees"], profit, book["risk"]
    totals["trades"] += 1
    totals["fees"] += book["fees"]
    totals["held_bars"] += bar - book["entry_bar"]
    if profit > 0.0:
        totals["wins"] += 1
        totals["gross_wins"] += profit
    elif profit < 0.0:
        totals["losses"] += 1
        totals["gross_losses"] -= profit
    totals["trades_hash"] = _hashed(totals["trades_hash"], trade, scratch)
    clear_position(book)


@compiled
def clear_position(book: np.void) -> None:
    """Leave the account without a position; cash and the freshness of the target stay."""
    book["direction"] = 0
    book["entry_fills"], book["exit_fills"] = 0, 0
    book["held"], book["entry_rest"], book["exit_rest"] = 0.0, 0.0, 0.0
    book["spent"], book["earned"], book["fees"], book["risk"] = 0.0, 0.0, 0.0, 0.0
    book["exit_decided_bar"] = -1


@compiled
def _hashed(digest: int, trade: np.void, scratch: Floats) -> int:
    """A cheap hash over every number of a trade, chained to that of the trades before."""
    for whole in (trade["direction"], trade["decided_bar"], trade["entry_bar"], trade["exit_bar"]):
        digest = splitmix64(digest ^ np.uint64(whole))
    for whole in (trade["exit_decided_bar"], trade["ended_by"], trade["exited_inside"]):
        digest = splitmix64(digest ^ np.uint64(whole))
    scratch[0], scratch[1], scratch[2] = trade["entry_price"], trade["exit_price"], trade["quantity"]
    scratch[3], scratch[4], scratch[5] = trade["stop_price"], trade["fees"], trade["profit"]
    scratch[6] = trade["risk"]
    bits = scratch.view(np.uint64)
    for place in range(7):
        digest = splitmix64(digest ^ bits[place])
    return digest


@inlined
def _slip(terms: np.void, price: float, side: int) -> float:
    return slipped(price, float(side), terms["slippage"], terms["price_numerator"], terms["price_denominator"])


@inlined
def _mark(bars: WalkedBars, desk: Desk, terms: np.void, mark_bars: Integers, stop: int) -> None:
    """Write the marks whose bar is before `stop`: the account is as it was since the mark before."""
    book, totals = desk.book[0], desk.totals[0]
    mark = totals["marked"]
    while mark < len(mark_bars) and mark_bars[mark] < stop:
        value = 0.0
        if book["direction"] != 0:
            value = worth(book, terms, bars.close[mark_bars[mark]])
        desk.positions_value[mark] = value
        desk.equity[mark] = book["cash"] + value
        mark += 1
    totals["marked"] = mark


@inlined
def _close(desk: Desk, bar: int, ended_by: int, inside: int) -> None:
    totals = desk.totals[0]
    row = min(totals["trades"], len(desk.trades) - 1)
    close_trade(desk.book[0], desk.trades[row], totals, desk.scratch, bar, ended_by, inside)


@inlined
def _enter(bars: WalkedBars, desk: Desk, terms: np.void, atr: float, direction: int, bar: int) -> bool:
    """Open a position at the open of `bar`, decided at the close before it; False where there is none to open."""
    book, decided = desk.book[0], bars.open[bar]
    if not set_levels(book, terms, direction, decided, atr):
        return False
    steps = entry_steps(book, terms, decided)
    if steps <= 0.0:
        return False
    part = first_part(steps, terms, bars.opened_at[bar], _ENTRY_LEG)
    book["direction"], book["fresh"] = direction, 0
    book["decided_bar"], book["entry_bar"] = bar - 1, bar
    book["entry_rest"] = steps - part
    fill_entry(book, terms, part, _slip(terms, decided, direction))
    return True


@inlined
def _leave(bars: WalkedBars, desk: Desk, terms: np.void, bar: int) -> None:
    """Exit at the open of `bar`, the whole position or its first part. What is left of the entry is cancelled."""
    book = desk.book[0]
    part = first_part(book["held"], terms, bars.opened_at[bar], _EXIT_LEG)
    book["entry_rest"] = 0.0
    book["exit_rest"] = book["held"] - part
    book["exit_decided_bar"] = bar - 1
    fill_exit(book, terms, part, _slip(terms, bars.open[bar], -book["direction"]))
    if book["exit_rest"] <= 0.0:
        _close(desk, bar, BY_SIGNAL, 0)


@inlined
def _finish_leaving(bars: WalkedBars, desk: Desk, terms: np.void, bar: int) -> None:
    book = desk.book[0]
    fill_exit(book, terms, book["exit_rest"], _slip(terms, bars.open[bar], -book["direction"]))
    _close(desk, bar, BY_SIGNAL, 0)


@inlined
def _finish_entry(bars: WalkedBars, desk: Desk, terms: np.void, bar: int) -> None:
    book = desk.book[0]
    fill_entry(book, terms, book["entry_rest"], _slip(terms, bars.open[bar], book["direction"]))
    book["entry_rest"] = 0.0


@inlined
def _protect(bars: WalkedBars, desk: Desk, terms: np.void, bar: int) -> None:
    """End the position where `bar` reaches its stop or its take profit: the stop first, whatever was first."""
    book, opened = desk.book[0], bars.open[bar]
    direction, stop, target = book["direction"], book["stop"], book["take_profit"]
    if bars.low[bar] <= stop if direction > 0 else bars.high[bar] >= stop:
        gapped = direction * (opened - stop) <= 0.0
        fill_exit(book, terms, book["held"], _slip(terms, opened if gapped else stop, -direction))
        _close(desk, bar, BY_STOP, 0 if gapped else 1)
    elif bars.high[bar] >= target if direction > 0 else bars.low[bar] <= target:
        gapped = direction * (opened - target) >= 0.0
        fill_exit(book, terms, book["held"], target)
        _close(desk, bar, BY_TAKE_PROFIT, 0 if gapped else 1)


@inlined
def _quiet_until(bars: WalkedBars, book: np.void, target: Targets, words: Words, bar: int, stop: int) -> int:
    """The next bar at which a position whose orders are done is touched or no longer wanted, or the last one."""
    end = min(next_change(target, words, bar, stop), stop - 1)
    upper, lower = max(book["stop"], book["take_profit"]), min(book["stop"], book["take_profit"])
    return min(first_touch(bars, upper, lower, bar + 1, end + 1), end)


@inlined
def _step_held(
    bars: WalkedBars,
    desk: Desk,
    terms: np.void,
    target: Targets,
    words: Words,
    mark_bars: Integers,
    bar: int,
    stop: int,
) -> int:
    """What happens next to a position after the close of `bar`; the bar in which it happened."""
    book, after = desk.book[0], bar + 1
    if book["exit_rest"] > 0.0:
        _mark(bars, desk, terms, mark_bars, after)
        _finish_leaving(bars, desk, terms, after)
        return after
    if target[bar] != book["direction"]:
        _mark(bars, desk, terms, mark_bars, after)
        _leave(bars, desk, terms, after)
        return after
    if book["entry_rest"] > 0.0:
        _mark(bars, desk, terms, mark_bars, after)
        _finish_entry(bars, desk, terms, after)
    else:
        after = _quiet_until(bars, book, target, words, bar, stop)
        _mark(bars, desk, terms, mark_bars, after)
    _protect(bars, desk, terms, after)
    return after


@inlined
def _step_flat(
    bars: WalkedBars,
    desk: Desk,
    terms: np.void,
    target: Targets,
    words: Words,
    atr: Floats,
    mark_bars: Integers,
    bar: int,
    stop: int,
) -> int:
    """What a flat account does after the close of `bar`; the bar up to which all is done."""
    book, wanted = desk.book[0], int(target[bar])
    if wanted == 0 or wanted < terms["lowest_target"] or book["fresh"] == 0:
        return min(next_change(target, words, bar, stop), stop - 1)
    if terms["max_position"] * book["cash"] < _HOPELESS * terms["minimum_cost"]:
        return stop - 1  # flat as it is, the account can never again pay for the smallest order
    after = bar + 1
    _mark(bars, desk, terms, mark_bars, after)
    if _enter(bars, desk, terms, atr[bar], wanted, after):
        _protect(bars, desk, terms, after)
    return after


@compiled
def walk(
    bars: WalkedBars,
    target: Targets,
    words: Words,
    atr: Floats,
    terms: npt.NDArray[np.void],
    start: int,
    stop: int,
    mark_bars: Integers,
    desk: Desk,
) -> None:
    """Trade `target` in the bars `[start, stop)`.

    Args:
        bars: of the series.
        target: -1, 0 or 1 at the close of each bar of the series.
        words: the same memory, eight targets in a word; what is left over has no word.
        atr: at each bar, NaN where there is none.
        terms: one row of `TERMS`.
        start: the first bar whose close may decide.
        stop: the bar after the last.
        mark_bars: the bar at whose close each mark is made, rising; the last is that of the end.
        desk: what is written to; whatever it held before is forgotten.
    """
    book, totals, rules = desk.book[0], desk.totals[0], terms[0]
    clear_position(book)
    book["cash"], book["fresh"] = rules["starting_equity"], 1
    totals["trades"], totals["wins"], totals["losses"], totals["held_bars"], totals["marked"] = 0, 0, 0, 0, 0
    totals["gross_wins"], totals["gross_losses"], totals["fees"] = 0.0, 0.0, 0.0
    totals["trades_hash"] = np.uint64(0)
    bar = start
    while bar < stop - 1:
        if book["direction"] == 0:
            after = _step_flat(bars, desk, rules, target, words, atr, mark_bars, bar, stop)
        else:
            after = _step_held(bars, desk, rules, target, words, mark_bars, bar, stop)
        if target[after] != target[after - 1]:
            book["fresh"] = 1
        bar = after
    _mark(bars, desk, rules, mark_bars, stop)
    totals["open_at_end"] = 1 if book["direction"] != 0 else 0
    if book["direction"] != 0:
        totals["held_bars"] += stop - book["entry_bar"]
    totals["final_equity"] = desk.equity[len(mark_bars) - 1]
