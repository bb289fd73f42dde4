"""Rules of the results linter about how the parameters were chosen."""

from statistics import median

from triplegain_pipelines.evaluation.results_linter_terms import LintCode, Linted, LintFinding, Severity

NEIGHBOURS_SHARE = 0.5
_FEWEST_VALUES = 3  # of two values each is an edge


def in_sample_only(linted: Linted) -> LintFinding | None:
    """Parameters that were chosen, and no result on bars that the choice has not seen."""
    trials = linted.evidence.trials
    if trials <= 1 or linted.evidence.out_of_sample:
        return None
    words = f"the best of {trials:,} trials on these bars, without a result on others"
    return LintFinding(LintCode.IN_SAMPLE_ONLY, Severity.ERROR, words)


def edge_of_grid(linted: Linted) -> LintFinding | None:
    """Parameters at the smallest or largest value that was tried."""
    found = []
    for name, tried in linted.evidence.grid.items():
        value = linted.result.parameters.get(name)
        if len(set(tried)) < _FEWEST_VALUES or not isinstance(value, int | float):
            continue
        if value <= min(tried) or value >= max(tried):
            side = "smallest" if value <= min(tried) else "largest"
            found.append(f"{name} = {value:g} is the {side} of {len(set(tried))} tried")
    if not found:
        return None
    return LintFinding(LintCode.EDGE_OF_GRID, Severity.WARNING, "; ".join(found))


def unstable_neighbourhood(linted: Linted) -> LintFinding | None:
    """A good score whose neighbours have a bad one. A neighbour without a score made no trade to be scored: zero."""
    score, neighbours = linted.evidence.score, linted.evidence.neighbours
    if score is None or score <= 0 or not neighbours:
        return None
    middle = median(0.0 if one is None else one for one in neighbours)
    if middle >= NEIGHBOURS_SHARE * score:
        return None
    words = f"a score of {score:.2f}, and {middle:.2f} in the middle of its {len(neighbours)} neighbours"
    return LintFinding(LintCode.UNSTABLE_NEIGHBOURHOOD, Severity.ERROR if middle <= 0 else Severity.WARNING, words)
