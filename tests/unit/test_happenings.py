"""What happened, in sentences: each kind of fact, worked by hand, with the rows that say so."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.happenings import (
    SIZE_CODES,
    HappeningKind,
    RowLink,
    tell_breaker,
    tell_refusal,
    tell_reversals,
    tell_seat,
    tell_size_cuts,
    tell_stop,
)
from triplegain_pipelines.store.happenings import (
    ChangedProposal,
    DecidedRegime,
    OpenedBreaker,
    Refusal,
    SilentSeat,
    TakenStop,
)

pytestmark = pytest.mark.unit

AT = datetime(2024, 8, 5, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
BTC, PAPER = "BTC/USDT", "paper_trading"
ONE, TWO = UUID(int=1), UUID(int=2)


def regimes(*words: str, symbol: str = BTC) -> list[DecidedRegime]:
    """One decision an hour in these regimes."""
    return [DecidedRegime(UUID(int=number), symbol, AT + number * HOUR, word) for number, word in enumerate(words)]


def test_a_reversal_is_told_once_with_both_its_decisions() -> None:
    """A8: a market that turned, seen through the hours in between in which it went nowhere."""
    [told] = tell_reversals(regimes("trending_bull", "ranging", "choppy", "volatile_bear", "trending_bear"))
    assert (told.kind, told.at) == (HappeningKind.REVERSAL, AT + 3 * HOUR)
    assert told.sentence == "BTC/USDT turned down: trending bull at 5 Aug 2024 02:00, volatile bear now."
    assert [row.key for row in told.rows] == [str(UUID(int=0)), str(UUID(int=3))]
    assert {row.table for row in told.rows} == {"research.consensus_decisions"}


def test_symbols_turn_each_for_itself() -> None:
    """A8: a bear in one symbol after a bull in another is no reversal."""
    other = regimes("trending_bear", symbol="ETH/USDT")
    assert list(tell_reversals([*regimes("trending_bull"), *other])) == []
    assert list(tell_reversals(regimes("ranging", "choppy", "trending_bull"))) == []


def test_a_refusal_names_every_reason_and_row() -> None:
    """A8: a trade that was not made is as much news as one that was."""
    refusal = Refusal(ONE, 7, TWO, BTC, "BUY", "REFUSED", ["BREAKER_OPEN", "DRAWDOWN_PAUSED"], AT)
    told = tell_refusal(refusal, PAPER)
    assert told.sentence == (
        f"The decision to BUY BTC/USDT was refused: {ReasonCode.BREAKER_OPEN.meaning} "
        f"{ReasonCode.DRAWDOWN_PAUSED.meaning}"
    )
    assert told.rows == (
        RowLink("research.consensus_decisions", str(ONE)),
        RowLink("paper_trading.outbox", "7"),
        RowLink("paper_trading.verdicts", str(TWO)),
    )
    expired = tell_refusal(Refusal(ONE, 7, None, BTC, "SELL", "EXPIRED", [], AT), "live_trading")
    assert expired.sentence == "The decision to SELL BTC/USDT expired before it was traded."
    assert [row.table for row in expired.rows] == ["research.consensus_decisions", "live_trading.outbox"]


def test_only_what_makes_a_position_smaller_is_a_cut() -> None:
    """A8: rounding to the venue's step, or a lower leverage, told as a cut would hide the real ones."""
    changed = [
        ChangedProposal(ONE, TWO, BTC, "LONG", None, Decimal("0.01"), ["QUANTITY_ROUNDED", "LEVERAGE_REDUCED"], AT),
        ChangedProposal(
            TWO, ONE, BTC, "LONG", Decimal("0.02"), Decimal("0.01"), ["HEAT_REDUCED", "QUANTITY_ROUNDED"], AT
        ),
    ]
    [told] = tell_size_cuts(changed, PAPER)
    assert told.sentence == (
        f"Risk cut the long position in BTC/USDT from 0.02 BTC to 0.01 BTC: {ReasonCode.HEAT_REDUCED.meaning}"
    )
    assert told.rows == (
        RowLink("paper_trading.verdicts", str(TWO)),
        RowLink("research.consensus_decisions", str(ONE)),
    )
    assert {"DRAWDOWN_HALF_SIZE", "FREE_CASH_REDUCED", "BREAKER_HALF_OPEN", "DISAGREEMENT_REDUCED"} <= SIZE_CODES
    assert set(ReasonCode) >= SIZE_CODES


def test_a_breaker_a_seat_and_a_stop() -> None:
    """A8: who stopped trading, whom nobody asked, and what a loss was, without opening the database."""
    numbers = {"loss": "0.031", "threshold": "0.02"}
    breaker = tell_breaker(OpenedBreaker("rapid_loss", 3, "BREAKER_TRIPPED", numbers, "sensor", AT), "demo")
    assert breaker.sentence == (
        "The breaker rapid loss opened (sensor): A threshold was crossed. Measured: loss 0.031, threshold 0.02."
    )
    assert breaker.rows == (RowLink("ops.breaker_changes", "demo/rapid_loss/3"),)

    benched = SilentSeat("qwen", "ollama/qwen3", False, "SEAT_BENCHED", [ONE, TWO], AT, AT + HOUR)  # noqa: FBT003
    told = tell_seat(benched)
    assert told.kind is HappeningKind.SEAT_BENCHED
    assert told.sentence == (
        "The seat qwen (ollama/qwen3) was passed over 2 times this day, the last time at 5 Aug 2024 03:00: "
        f"{ReasonCode.SEAT_BENCHED.meaning}"
    )
    assert [row.key for row in told.rows] == [str(ONE), str(TWO)]
    spent = tell_seat(SilentSeat("gpt", "momentum", True, "SEAT_BUDGET", [ONE], AT, AT))  # noqa: FBT003
    assert spent.kind is HappeningKind.SEAT_OUT_OF_BUDGET
    assert spent.sentence == (
        f"The seat gpt (momentum, a baseline) was passed over once this day: {ReasonCode.SEAT_BUDGET.meaning}"
    )

    taken = TakenStop(
        *(ONE, BTC, "LONG", Decimal(60000), Decimal(58800), Decimal("-13.19"), Decimal("-1.05")),
        *(AT, AT + HOUR, [TWO]),
    )
    stop = tell_stop(taken, PAPER, "demo", "USDT")
    assert stop.at == AT + HOUR
    assert stop.sentence == (
        "The stop of the long position in BTC/USDT was taken at 58,800, after an entry at 60,000: "
        "-13.19 USDT after fees, -1.05 times what was at risk."
    )
    assert stop.rows == (
        RowLink("paper_trading.trades", f"demo/{ONE}/{AT.isoformat()}"),
        RowLink("paper_trading.orders", str(TWO)),
    )
