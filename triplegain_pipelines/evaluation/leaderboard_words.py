"""What a leaderboard says in plain words, the honest verdict first. Nothing is computed here."""

from collections.abc import Iterable

from triplegain_pipelines.evaluation.evidence_gate import not_enough
from triplegain_pipelines.evaluation.leaderboard import Evidence, ForecasterKind, Leaderboard, LeaderboardRow
from triplegain_pipelines.evaluation.leaderboard_baselines import BEST_CONSTANT

_SIGNIFICANT = 0.05
_ONE_OPINION = 2.0
BASELINES_SIT = "Baselines sit in the seats: this says nothing about any model."
SIMULATED = "The market is a simulated one: this says nothing about any market."
_SEATS = (ForecasterKind.SEAT, ForecasterKind.BASELINE_SEAT)


def verdict(board: Leaderboard) -> tuple[str, ...]:
    """The verdict: who leads or why nobody does, then what limits it, a sentence each."""
    if not board.events:
        return ("Nothing has settled in this period, so nothing can be said about anybody.",)
    sentences = [_headline(board), *_leaks(board), _against_baselines(board), *_consensus(board), *_money(board)]
    return tuple(sentence for sentence in (*sentences, *_limits(board)) if sentence)


def named(names: Iterable[str]) -> str:
    """Names as a person lists them.

    >>> named(["a", "b", "c"]), named(["a"])
    ('a, b and c', 'a')
    """
    *before, last = list(names) or [""]
    return f"{', '.join(before)} and {last}" if before else last


def fullest(board: Leaderboard) -> float:
    """The most independent forecasts that anybody has."""
    return max((row.quality.independent for row in board.rows if row.quality and not _is_plain(row)), default=0.0)


def suspects(board: Leaderboard) -> list[LeaderboardRow]:
    """Leaders that are too good to be true."""
    return [row for row in board.rows if row.leak and row.name in board.leaders]


def _headline(board: Leaderboard) -> str:
    suspected = suspects(board)
    if suspected:
        leads = "leads, and is" if len(suspected) == 1 else "lead, and are"
        return f"{named(row.name for row in suspected)} {leads} too good to be true: a leak, until it is explained."
    if len(board.leaders) == 1:
        return f"{board.leaders[0]} leads: it tells rises from falls better than luck would, and than every baseline."
    if board.leaders:
        return (
            f"{named(board.leaders)} are ahead of every baseline and cannot be told from each other: "
            "there is no winner among them."
        )
    if all(row.gate is not None or row.quality is None for row in board.rows if not _is_plain(row)):
        return (
            f"Nobody is ranked: {not_enough(fullest(board), board.needed)}. Whoever looks best here may only be lucky."
        )
    return "Nobody leads: with enough forecasts to show it, nobody forecasts better than luck and the baselines would."


def _leaks(board: Leaderboard) -> list[str]:
    return [f"{row.name} {row.leak}." for row in board.rows if row.leak]


def _against_baselines(board: Leaderboard) -> str:
    unbeaten = [row.name for row in board.rows if row.spa_p is not None and row.spa_p > _SIGNIFICANT]
    tested = [row for row in board.rows if row.spa_p is not None]
    if not tested:
        return "There is too little to test anybody against the plain baselines."
    if not unbeaten:
        return "Some forecaster beats each plain baseline by more than luck (Hansen's SPA test, p under 5 % for each)."
    if len(unbeaten) == len(tested):
        return "Nobody is shown to beat even one of the plain baselines (Hansen's SPA test, p over 5 % for each)."
    return f"Nobody is shown to beat {named(unbeaten)} (Hansen's SPA test, p over 5 %)."


def _consensus(board: Leaderboard) -> list[str]:
    rows = [
        one for one in board.rows if one.variant.kind is ForecasterKind.CONSENSUS and one.compared_brier is not None
    ]
    plain = [
        row
        for row in board.rows
        if _is_plain(row) and row.variant.forecaster != BEST_CONSTANT and row.compared_brier is not None
    ]
    tested = any(row.spa_p is not None for row in board.rows)
    if not rows or not plain or not tested:
        return []
    own, best = rows[0].compared_brier or 0.0, min(plain, key=lambda row: row.compared_brier or 0.0)
    bar = best.compared_brier or 0.0
    told = f"The consensus scores {own:.4f} and the best plain baseline, {best.name}, {bar:.4f} (lower is better)"
    if own >= bar:
        return [f"{told}: asking the seats has not paid."]
    lucky = (rows[0].beats_baselines_p or 1.0) > _SIGNIFICANT
    return [f"{told}: ahead, {'but no further than luck goes' if lucky else 'and by more than luck'}."]


def _money(board: Leaderboard) -> list[str]:
    books = [row for row in board.rows if row.shadow_book and row.seat is not None]
    holds = [one for one in board.holdings if one.name.startswith(("equal", "buy"))]
    if not books or not holds:
        return []
    best = max(holds, key=lambda one: one.total_return)
    above = [row for row in books if row.shadow_book and row.shadow_book.net_return > 0]
    ahead = [row for row in books if row.shadow_book and row.shadow_book.net_return > best.total_return]
    return [
        (
            f"After fees and their own bills, {len(above)} of {len(books)} seats' books made money, and {len(ahead)} "
            f"made more than {best.name} ({best.total_return:+.1%}). That proves little: to tell a Sharpe ratio of 1 "
            "from luck takes about eight years."
        )
    ]


def _limits(board: Leaderboard) -> list[str]:
    found = []
    if any(row.variant.kind is ForecasterKind.BASELINE_SEAT for row in board.rows):
        found.append(BASELINES_SIT)
    if board.simulated:
        found.append(SIMULATED)
    doubtful = {
        kind: sum(row.evidence.get(kind, 0) for row in board.rows if row.variant.kind in _SEATS)
        for kind in (Evidence.PRE_CUTOFF, Evidence.UNKNOWN_CUTOFF)
    }
    told = [f"{count:,} {_DOUBTS[kind]}" for kind, count in doubtful.items() if count]
    if told:
        found.append(f"Not ranked, because they may be remembered: {named(told)}.")
    if board.effective_voters is not None and 0 < board.effective_voters < _ONE_OPINION:
        found.append(
            f"The seats err so much alike that they are worth {board.effective_voters:.1f} independent ones: "
            "the consensus is close to one opinion."
        )
    return found


_DOUBTS = {
    Evidence.PRE_CUTOFF: "forecasts of before the model's knowledge cutoff",
    Evidence.UNKNOWN_CUTOFF: "forecasts of models whose cutoff nobody states",
}


def _is_plain(row: LeaderboardRow) -> bool:
    return row.variant.kind is ForecasterKind.BASELINE
