"""What a study found: the walk's choices in and out of sample, and whether that is more than luck would show.

The returns that are judged are those of the test bars of all folds, one after the other, each made by the parameters
that the fold's train bars chose. Their Sharpe ratio is compared with what the best of all trials would show without any
skill (the deflated Sharpe ratio). The number of trials comes from the store and is everything ever tried of this
strategy on this market, in this study or another. It is taken as it is, not cut to an effective number of independent
trials: that would need the returns of trials that are long gone, and any cut makes luck look better. How alike trials
are enters by the spread of their Sharpe ratios over the test bars: trials that do the same have the same ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median, variance
from typing import Any
from uuid import UUID

import numpy as np

from triplegain_pipelines.backtest.forks import Laboratory, opened
from triplegain_pipelines.backtest.journal import remove_journals
from triplegain_pipelines.backtest.plateau import (
    Choice,
    choose,
    cloud_edges,
    cloud_scores,
    grid_edges,
    grid_scores,
)
from triplegain_pipelines.backtest.search import Method, Space
from triplegain_pipelines.backtest.splits import Fold
from triplegain_pipelines.backtest.study import folds_of, strategy_of
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.backtest.trials import YEARLY, Walked, nothing_walked, walk
from triplegain_pipelines.domain.errors import DataError, InputError
from triplegain_pipelines.evaluation.sharpe import deflated_sharpe_ratio, expected_best_sharpe
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.store import forks, studies
from triplegain_pipelines.store.studies import StoredStudy, StoredTrial, Study, Tried
from triplegain_pipelines.strategies.strategy import Strategy

_TWO = 2


class Verdict(StrEnum):
    """What may be said of a study."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True, slots=True)
class Bar:
    """What it takes to be significant.

    Attributes:
        level: the chance of calling luck skill that is borne.
        fewest_days: out-of-sample days under which nothing is said.
        fewest_trades: out-of-sample trades under which nothing is said.
    """

    level: float
    fewest_days: int
    fewest_trades: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """The figures of the out-of-sample walk, per day; None where they have no value.

    Attributes:
        days: how many daily returns.
        trades: how many trades.
        total_return: all folds compounded.
        sharpe: mean over standard deviation (ddof 1).
        skew: of the returns.
        kurtosis: of the returns, 3 for a normal distribution.
        trials: ever tried.
        trial_variance: of the trials' Sharpe ratios over as many days.
        luck: the Sharpe ratio that the best of the trials shows without skill.
        deflated: probability that the true ratio is over 0 beyond that luck.
    """

    days: int
    trades: int
    total_return: float
    sharpe: float | None
    skew: float | None
    kurtosis: float | None
    trials: int
    trial_variance: float
    luck: float
    deflated: float | None


def conclude(laboratory: Laboratory, study_id: UUID, bar: Bar) -> StoredStudy:
    """Judge a study whose trials are all done, write it down, and end its forks. One that is concluded stays so.

    Raises:
        InputError: trials are left to do.
        DataError: a choice traded otherwise than its trial did: the kernel or a strategy is not deterministic.
        UnavailableError: the database cannot be reached.
    """
    with laboratory.database.connection() as connection:
        found = studies.read(connection, study_id)
        if found.state == "CONCLUDED":
            return found
        done = studies.done_count(connection, study_id)
        tried = studies.ever_tried(connection, found.study)
    study = found.study
    planned = len(study.folds) * study.trials_per_fold
    if done < planned:
        msg = f"{planned - done} of {planned} trials of study {study_id} are left; run its batches first"
        raise InputError(msg)
    verdict, conclusion = _judged(laboratory, study, tried, bar)
    with laboratory.database.connection() as connection:
        now = laboratory.clock.now()
        studies.conclude(connection, study_id, verdict, conclusion, now)
        forks.destroyed(connection, [one.fork_id for one in forks.living(connection, study_id)], now)
        concluded = studies.read(connection, study_id)
    remove_journals(laboratory.journals(study_id))
    return concluded


def choice_of(study: Study, strategy: Strategy, trials: Sequence[StoredTrial]) -> Choice | None:
    """The choice of one fold, by its train bars: `Choice.place` is a place in `trials`. None where none traded."""
    parameters = [strategy.parameters(**one.parameters) for one in trials]
    space = Space.of(strategy)
    daily = [(one.train or {}).get("daily_sharpe") for one in trials]
    figures = np.array([np.nan if one is None else one for one in daily], dtype=np.float64)
    if study.method == Method.GRID:
        places = space.grid_places(parameters)
        at_edge = grid_edges(places, space.shape, space.choice)
        return choose(figures, grid_scores(figures, places, space.shape), at_edge)
    points = space.points(parameters)
    return choose(figures, cloud_scores(figures, points), cloud_edges(points, space.choice))


def evidence_of(returns: Sequence[float], trades: int, tried: Tried) -> Evidence:
    """The figures of out-of-sample returns among so many trials."""
    days = len(returns)
    values = np.array(returns, dtype=np.float64)
    # In the trials' scores one standard error of a ratio over `days` days is 1. Where fewer than two ever traded there
    # is no spread to see, and luck's own is taken.
    spread = variance(tried.scores) if len(tried.scores) >= _TWO else 1.0
    trial_variance = spread / days if days else 0.0
    trials = max(tried.trials, 1)
    luck = expected_best_sharpe(trials, trial_variance)
    total = float(np.prod(1 + values)) - 1
    deviation = float(values.std(ddof=1)) if days >= _TWO else 0.0
    if not deviation:
        return Evidence(days, trades, total, None, None, None, trials, trial_variance, luck, None)
    sharpe = float(values.mean()) / deviation
    apart = (values - values.mean()) / values.std()
    skew, kurtosis = float((apart**3).mean()), float((apart**4).mean())
    deflated = deflated_sharpe_ratio(
        sharpe, days, trials=trials, trial_variance=trial_variance, skew=skew, kurtosis=kurtosis
    )
    return Evidence(days, trades, total, sharpe, skew, kurtosis, trials, trial_variance, luck, deflated)


def verdict_of(evidence: Evidence, bar: Bar) -> tuple[Verdict, str]:
    """The verdict, and why in words."""
    have = ((evidence.days, bar.fewest_days, "days"), (evidence.trades, bar.fewest_trades, "trades"))
    lacking = [f"{count:,} of {needed:,} {what}" for count, needed, what in have if count < needed]
    if lacking:
        return Verdict.NOT_ENOUGH_DATA, f"not enough data: {' and '.join(lacking)} out of sample"
    if evidence.sharpe is None or evidence.deflated is None:
        return Verdict.NOT_SIGNIFICANT, "not significant: the equity never moved out of sample"
    shown = (
        f"a yearly Sharpe ratio of {evidence.sharpe * YEARLY:.2f} out of sample, where the best of {evidence.trials:,} "
        f"trials without skill shows {evidence.luck * YEARLY:.2f}; the probability that it is more than luck is "
        f"{evidence.deflated:.1%}, {1 - bar.level:.0%} are needed"
    )
    if evidence.deflated < 1 - bar.level:
        return Verdict.NOT_SIGNIFICANT, f"not significant: {shown}"
    return Verdict.SIGNIFICANT, f"significant: {shown}"


def _judged(laboratory: Laboratory, study: Study, tried: Tried, bar: Bar) -> tuple[Verdict, dict[str, Any]]:
    strategy, terms = strategy_of(study), Terms(**study.terms)
    values = IndicatorValues(opened(laboratory, study.data_hash))
    returns: list[float] = []
    documents, walks = [], []
    proposed: tuple[StoredTrial | None, Choice | None] = (None, None)
    for fold in folds_of(study):
        with laboratory.database.connection() as connection:
            of_fold = studies.trials_of(connection, study.study_id, fold.number)
        choice = choice_of(study, strategy, of_fold)
        chosen = of_fold[choice.place] if choice else None
        if not fold.is_tested:
            proposed = (chosen, choice)
            continue
        walked = _walked(values, strategy, terms, fold, chosen)
        returns.extend(walked.returns)
        walks.append(walked)
        documents.append(_fold_document(fold, of_fold, chosen, choice))
    evidence = evidence_of(returns, sum(one.trades for one in walks), tried)
    verdict, words = verdict_of(evidence, bar)
    holding = max((one.longest_holding for one in walks), default=0)
    gap = min((fold.test_start - fold.train_stop for fold in folds_of(study) if fold.is_tested), default=0)
    return verdict, {
        "verdict": verdict.value,
        "words": words,
        "level": bar.level,
        "in_sample": _in_sample(documents),
        "out_of_sample": _evidence_document(evidence),
        "folds": documents,
        "folds_worse_than_median": sum(bool(one["worse_than_median"]) for one in documents),
        "longest_holding_bars": holding,
        "gap_bars": gap,
        "gap_is_enough": holding <= gap,
        "proposed": _choice_document(*proposed),
    }


def _walked(
    values: IndicatorValues, strategy: Strategy, terms: Terms, fold: Fold, chosen: StoredTrial | None
) -> Walked:
    if chosen is None:
        return nothing_walked(values, fold.test_start, fold.test_stop)
    parameters = strategy.parameters(**chosen.parameters)
    walked = walk(values, strategy, parameters, terms, fold.test_start, fold.test_stop)
    if walked.trades_hash != chosen.test_trades_hash:
        msg = (
            f"trial {chosen.place} of fold {fold.number} traded otherwise than when it was stored; the code changed "
            "without its version, or is not deterministic: begin a new study"
        )
        raise DataError(msg)
    return walked


def _fold_document(
    fold: Fold, trials: Sequence[StoredTrial], chosen: StoredTrial | None, choice: Choice | None
) -> dict[str, Any]:
    tested = [one for one in (_tested(trial) for trial in trials) if one is not None]
    own = _tested(chosen) if chosen else None
    middle = median(tested) if tested else None
    return {
        "fold": fold.number,
        "bars": fold.document(),
        **_choice_document(chosen, choice),
        "median_trial_daily_sharpe": middle,
        "worse_than_median": own is not None and middle is not None and own < middle,
    }


def _choice_document(chosen: StoredTrial | None, choice: Choice | None) -> dict[str, Any]:
    """A choice with what it showed in sample, and beside it out of sample."""
    if chosen is None or choice is None:
        return {"place": None, "parameters": None, "in_sample": None, "out_of_sample": None}
    return {
        "place": chosen.place,
        "parameters": chosen.parameters,
        "plateau": choice.score,
        "at_edge": choice.at_edge,
        "in_sample": chosen.train,
        "out_of_sample": chosen.test,
    }


def _in_sample(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over the folds of what the choices showed where they were chosen."""
    shown = [one["in_sample"]["daily_sharpe"] for one in documents if one["in_sample"]]
    daily = fmean(shown) if shown else None
    return {"daily_sharpe": daily, "sharpe": None if daily is None else daily * YEARLY}


def _evidence_document(evidence: Evidence) -> dict[str, Any]:
    return {
        "days": evidence.days,
        "trades": evidence.trades,
        "total_return": evidence.total_return,
        "daily_sharpe": evidence.sharpe,
        "sharpe": None if evidence.sharpe is None else evidence.sharpe * YEARLY,
        "skew": evidence.skew,
        "kurtosis": evidence.kurtosis,
        "trials": evidence.trials,
        "trial_variance": evidence.trial_variance,
        "luck_sharpe": evidence.luck * YEARLY,
        "deflated_sharpe": evidence.deflated,
    }


def _tested(trial: StoredTrial) -> float | None:
    shown: float | None = (trial.test or {}).get("daily_sharpe")
    return shown
