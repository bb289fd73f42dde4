"""Rules of the results linter about what a result rests on: how much of it there is, and whether one thing made it."""

import numpy as np

from triplegain_pipelines.evaluation.backtest_performance import longest_run
from triplegain_pipelines.evaluation.results_linter_terms import LintCode, Linted, LintFinding, Severity

FEWEST_TRADES, ENOUGH_TRADES = 30, 100  # a mean of fewer than 30 has no error to speak of
MOST_PARAMETERS, TRADES_PER_PARAMETER = 10, 10
FEWEST_DAYS, ENOUGH_DAYS = 90, 365
MOST_OF_ONE_TRADE = 0.5
LONGEST_FLAT = 0.25
_DAYS_TO_SAY_FLAT = 20
_NO_MOVE = 1e-12


def too_few_trades(linted: Linted) -> LintFinding | None:
    """Fewer closed trades than a mean needs."""
    closed = linted.figures.trades.closed
    if closed >= ENOUGH_TRADES:
        return None
    severity = Severity.ERROR if closed < FEWEST_TRADES else Severity.WARNING
    trades = "1 closed trade" if closed == 1 else f"{closed} closed trades"
    words = f"{trades}; {FEWEST_TRADES} are the least, {ENOUGH_TRADES} are enough"
    return LintFinding(LintCode.TOO_FEW_TRADES, severity, words)


def too_many_parameters(linted: Linted) -> LintFinding | None:
    """More freedom than the trades can pin down; where a grid was searched, its parameters are the free ones."""
    free = len(linted.evidence.grid) or len(linted.result.parameters)
    closed = linted.figures.trades.closed
    if free <= MOST_PARAMETERS and closed >= TRADES_PER_PARAMETER * free:
        return None
    words = (
        f"{free} parameters for {closed} trades; at most {MOST_PARAMETERS}, "
        f"with at least {TRADES_PER_PARAMETER} trades for each"
    )
    return LintFinding(LintCode.TOO_MANY_PARAMETERS, Severity.WARNING, words)


def short_history(linted: Linted) -> LintFinding | None:
    """A period that is shorter than a year."""
    if linted.days >= ENOUGH_DAYS:
        return None
    severity = Severity.ERROR if linted.days < FEWEST_DAYS else Severity.WARNING
    words = f"{linted.days:.0f} days of history; {FEWEST_DAYS} are the least, {ENOUGH_DAYS} are enough"
    return LintFinding(LintCode.SHORT_HISTORY, severity, words)


def one_trade(linted: Linted) -> LintFinding | None:
    """A profit that hangs on one trade."""
    share = linted.figures.best_share
    if share is None or share < MOST_OF_ONE_TRADE:
        return None
    trades = linted.result.trades
    best = int(np.argmax(trades["profit"].to_numpy()))
    net = linted.figures.trades.net_profit
    words = (
        f"the best trade, {trades['symbol'][best]} entered at {trades['entered_at'][best]:%Y-%m-%d %H:%M}, made "
        f"{trades['profit'][best]:,.2f} of {net:,.2f} net profit ({share:.0%}); "
        f"without it {net - trades['profit'][best]:+,.2f} is left"
    )
    return LintFinding(LintCode.ONE_TRADE, Severity.ERROR if share >= 1 else Severity.WARNING, words)


def flat_equity(linted: Linted) -> LintFinding | None:
    """A long stretch in which the equity does not move at all."""
    returns = np.asarray(linted.figures.returns)
    if len(returns) < _DAYS_TO_SAY_FLAT:
        return None
    still = longest_run(np.abs(returns) <= _NO_MOVE)
    if still <= LONGEST_FLAT * len(returns):
        return None
    words = f"the equity did not move for {still} of {len(returns)} days on end ({still / len(returns):.0%})"
    return LintFinding(LintCode.FLAT_EQUITY, Severity.WARNING, words)


def only_exposure(linted: Linted) -> LintFinding | None:
    """Better than holding, but no better than holding less."""
    held, same = linted.evidence.hold_return, linted.evidence.same_exposure_return
    made = linted.figures.portfolio.total_return
    if held is None or same is None or made <= held or made > same:
        return None
    words = (
        f"{made:+.1%} against {held:+.1%} of holding, but holding with the same mean exposure of "
        f"{linted.figures.net_exposure:.0%} made {same:+.1%}"
    )
    return LintFinding(LintCode.ONLY_EXPOSURE, Severity.WARNING, words)
