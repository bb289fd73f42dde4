"""docs/execution.md: its tables are made from the code and the configuration, so they cannot say something else."""

import pytest
from generated_docs import assert_made_of, table

from triplegain_pipelines.domain.orders import TRANSITIONS, OrderState
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import BreakerName
from triplegain_pipelines.execution.differences import DifferenceKind
from triplegain_pipelines.execution.venues.outcomes import RULES, STATUS_MEANINGS
from triplegain_pipelines.settings import load_settings

pytestmark = pytest.mark.unit


def _states() -> str:
    after = {state: [f"`{other}`" for other in OrderState if other in legal] for state, legal in TRANSITIONS.items()}
    rows = [(f"`{state}`", "yes" if state.is_final else "", ", ".join(after[state])) for state in TRANSITIONS]
    arrows = [f"    {state} --> {other.strip('`')}" for state in TRANSITIONS for other in after[state]]
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> PENDING_SUBMIT", *arrows, "```"])
    return table(("state", "done", "may become"), rows) + "\n\n" + diagram


def _outcomes() -> str:
    rows = [(rule.venue, f"`{rule.words}`", rule.only or "any", rule.meaning.value, rule.why) for rule in RULES]
    rows += [("any", f"HTTP {status}", "any", meaning.value, why) for status, (meaning, why) in STATUS_MEANINGS.items()]
    rows.append(
        (
            "any",
            "everything else: no answer, HTTP 5xx, words that are not in this table",
            "any",
            "unknown",
            "it may have been done",
        )
    )
    return table(("venue", "what it says", "to", "means", "because"), rows)


def _breakers() -> str:
    limits = load_settings().risk
    rules, trial = limits.breakers, limits.breakers.half_open
    rapid, losing, rough, row, odd = (
        rules.rapid_loss,
        rules.all_strategies_losing,
        rules.volatility,
        rules.consecutive_losses,
        rules.anomaly,
    )
    texts = {
        BreakerName.RAPID_LOSS: (
            f"over {rapid.threshold:%} of equity within {rapid.window_minutes} minutes",
            rapid.cool_down_minutes,
        ),
        BreakerName.ALL_STRATEGIES_LOSING: (
            (
                f"every one of at least {losing.strategies} strategies with {losing.minimum_trades} results "
                f"within {losing.window_hours} hours loses"
            ),
            losing.cool_down_minutes,
        ),
        BreakerName.VOLATILITY: (
            (
                f"volatility over its percentile {rough.halt_over:.0%}; from {rough.reduce_from:.0%} on sizes are "
                f"multiplied by {rough.size_factor}"
            ),
            rough.cool_down_minutes,
        ),
        BreakerName.CONSECUTIVE_LOSSES: (f"more than {row.threshold} losing trades in a row", row.cool_down_minutes),
        BreakerName.DAILY_LOSS: (
            f"{limits.daily_loss.halt:%} of the day's first equity ({limits.daily_loss.warn:%} warns)",
            None,
        ),
        BreakerName.DRAWDOWN: (
            (
                f"drawdown over {limits.drawdown_ladder.lock:%} (half size over {limits.drawdown_ladder.half_size:%}, "
                f"no new risk over {limits.drawdown_ladder.pause:%})"
            ),
            None,
        ),
        BreakerName.ANOMALY: (
            (
                f"data older than {odd.data_age_seconds} seconds, a crossed book, or over {odd.errors} failed orders "
                f"within {odd.window_minutes} minutes"
            ),
            odd.cool_down_minutes,
        ),
    }
    ends = {
        BreakerName.DAILY_LOSS: "half open on the next UTC day",
        BreakerName.DRAWDOWN: "by a person only, half open",
    }
    rows = [
        (f"`{name}`", texts[name][0], ends.get(name) or f"half open after {texts[name][1]} minutes, when it is over")
        for name in BreakerName
    ]
    return (
        table(("breaker", "opens at", "ends"), rows)
        + f"\n\nHalf open: {trial.trial_trades} trades at {trial.size_factor} of the size."
    )


def test_the_tables_are_the_code() -> None:
    """Issue point 8, DESIGN rule 10: a state, a transition or a refusal that the documentation does not know."""
    parts = {
        "states": _states(),
        "outcomes": _outcomes(),
        "differences": table(
            ("difference", "outcome", "what it is", "what is done"),
            [(f"`{kind}`", kind.outcome.value, kind.meaning, kind.action) for kind in DifferenceKind],
        ),
        "breakers": _breakers(),
        "reasons": table(("code", "meaning"), [(f"`{code}`", code.meaning) for code in ReasonCode]),
    }
    assert_made_of("execution.md", parts)
