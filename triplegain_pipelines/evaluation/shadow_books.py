"""Shadow books: what each seat would have made alone, through the same risk engine and the same fills as everybody.

A seat's answers become decisions of an account of its own, and its bill is deducted from what that account is worth.
Direction is the seat's own action; size, stop, target and veto are risk's, as they are for the consensus. The account
is walked by backtest/walk.py; here are its decisions and its figures. Pure functions.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from uuid import UUID

import numpy as np
import polars as pl

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.leaderboard import ShadowBook
from triplegain_pipelines.evaluation.performance import daily_returns, maximum_drawdown, sharpe, without_flows
from triplegain_pipelines.evaluation.sharpe import deflated_sharpe_ratio
from triplegain_pipelines.store.leaderboards import Vote

SHADOW_VERSION = "shadow-book-1"

_DAY = timedelta(days=1)
_EVEN = 0.5
_FEWEST_RETURNS = 30  # under a month of days a deflated ratio says nothing
_FEWEST_BOOKS = 2

Bill = Sequence[tuple[datetime, Decimal]]


@dataclass(frozen=True)
class BookRows:
    """What a shadow account's figures rest on.

    `equity` are its marks in `(start, end]` in the columns of store/performance.py, `bill` what the calls of each
    decision time in the period cost in USD, which is taken as the account's currency.
    """

    account: str
    starting_equity: Decimal
    equity: pl.DataFrame
    bill: Bill
    trades: int


def shadow_decisions(account: str, decisions: Sequence[Decision], votes: Sequence[Vote]) -> list[Decision]:
    """What one seat alone would have decided, for the shadow account `account`.

    An abstention holds, and says why. An incomplete snapshot is never acted on, whatever the seat said.

    Args:
        account: name of the shadow account.
        decisions: of the consensus, on the same evidence.
        votes: what the seat said; decisions that it was not asked about are left out.
    """
    said = {vote.decision_id: vote for vote in votes}
    return [_alone(account, made, said[made.decision_id]) for made in decisions if made.decision_id in said]


def shadow_books(books: Mapping[UUID, BookRows], start: datetime, end: datetime, trials: int) -> dict[str, ShadowBook]:
    """The figures of shadow books over `[start, end]`, by the id of their series.

    Args:
        books: their rows.
        start: beginning of the period.
        end: its end.
        trials: how many series were ever tried; the Sharpe ratios are deflated by it.
    """
    net = {series: _net(book) for series, book in books.items()}
    returns = {
        series: daily_returns(net[series], start, end, float(book.starting_equity)) for series, book in books.items()
    }
    deflated = _deflated(returns, trials)
    return {
        str(series): _book(book, net[series], start, end, returns[series], deflated.get(series))
        for series, book in books.items()
    }


def _alone(account: str, made: Decision, vote: Vote) -> Decision:
    action, reason = Action.HOLD, made.reason_code
    if made.reason_code is not ReasonCode.SNAPSHOT_INCOMPLETE:
        if vote.action is None:
            reason = ReasonCode[vote.reason_code] if vote.reason_code else ReasonCode.QUORUM_NOT_MET
        else:
            action = Action(vote.action)
            reason = ReasonCode.CONSENSUS_UNDECIDED if action is Action.HOLD else ReasonCode.CONSENSUS_REACHED
    p_up = _EVEN if vote.p_up is None else vote.p_up
    answers = int(vote.action is not None)
    return replace(
        made,
        decision_id=deterministic_id("shadow decision", account, str(made.decision_id)),
        account=account,
        forecast_ids=(vote.forecast_id,),
        action=action,
        reason_code=reason,
        p_up=p_up,
        confidence=max(p_up, 1 - p_up),
        pooled_log_odds=_log_odds(p_up),
        slope=1.0,
        settled_count=0.0,
        answers=answers,
        vendors=answers,
        quorum_met=bool(answers),
        unanimous=False,
        agreement=answers / 6,
        disagreement=0.0,
        size_factor=Decimal(1),
        leverage=Decimal(1) if vote.leverage is None else Decimal(repr(vote.leverage)),
        explanation=f"{action.value}. A shadow book: one seat alone, never acted on with money.",
        code_version=SHADOW_VERSION,
        code_versions={**made.code_versions, "shadow book": SHADOW_VERSION},
    )


def _log_odds(p_up: float) -> float:
    clipped = min(1 - 1e-9, max(1e-9, p_up))
    return math.log(clipped / (1 - clipped))


def _net(book: BookRows) -> pl.DataFrame:
    """The marks without payments in and out, with what the calls had cost by then deducted."""
    plain = without_flows(book.equity)
    times = [at for at, _ in book.bill]
    paid = list(accumulate((cost for _, cost in book.bill), initial=Decimal(0)))
    owed = [float(paid[bisect_right(times, at)]) for at in plain["at"].to_list()]
    return plain.with_columns(equity=pl.col("equity") - pl.Series(owed, dtype=pl.Float64), external_flow=pl.lit(0.0))


def _book(
    book: BookRows,
    net: pl.DataFrame,
    start: datetime,
    end: datetime,
    returns: Sequence[float],
    deflated: float | None,
) -> ShadowBook:
    started, bill = float(book.starting_equity), sum((cost for _, cost in book.bill), Decimal(0))
    worth = float(without_flows(book.equity)["equity"][-1]) if len(book.equity) else started
    days = net.group_by(pl.col("at").dt.truncate("1d"), maintain_order=True).agg(pl.last("equity"))
    return ShadowBook(
        account=book.account,
        starting_equity=book.starting_equity,
        final_equity=(Decimal(repr(worth)) - bill).quantize(Decimal("0.000001")),
        bill_usd=bill,
        gross_return=worth / started - 1,
        net_return=(worth - float(bill)) / started - 1,
        max_drawdown=maximum_drawdown(net, start, end, started).depth if len(net) else 0.0,
        sharpe=sharpe(returns),
        deflated_sharpe=deflated,
        trades=book.trades,
        curve=((start, started), *((min(end, at + _DAY), float(value)) for at, value in days.iter_rows())),
    )


def _deflated(returns: Mapping[UUID, Sequence[float]], trials: int) -> dict[UUID, float]:
    """Chance that a book's Sharpe ratio is above what the best of all trials shows by luck; where that can be told."""
    measured = {
        series: np.asarray(values)
        for series, values in returns.items()
        if len(values) >= _FEWEST_RETURNS and sharpe(values) is not None
    }
    if len(measured) < _FEWEST_BOOKS:
        return {}
    ratios = {series: float(values.mean() / values.std(ddof=1)) for series, values in measured.items()}
    variance = float(np.var(list(ratios.values()), ddof=1))
    found = {}
    for series, values in measured.items():
        standard = (values - values.mean()) / values.std()
        found[series] = deflated_sharpe_ratio(
            ratios[series],
            len(values),
            trials=max(trials, len(measured)),
            trial_variance=variance,
            skew=float(np.mean(standard**3)),
            kurtosis=float(np.mean(standard**4)),
        )
    return found
