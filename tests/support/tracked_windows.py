"""Windows for the projection into MLflow, made by hand: six seats, the consensus, a shadow, a baseline."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl
from report_inputs import DAYS, END, START, make_inputs

from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.leaderboard import (
    CalibrationBin,
    Calls,
    Evidence,
    ForecasterKind,
    ForecastQuality,
    Holding,
    Leaderboard,
    LeaderboardRow,
    ShadowBook,
    Variant,
)
from triplegain_pipelines.evaluation.performance import Interval
from triplegain_pipelines.evaluation.tracking_content import TrackedWindow
from triplegain_pipelines.evaluation.tracking_window import tracked_window
from triplegain_pipelines.evaluation.validation import ValidationReport, build_validation
from triplegain_pipelines.store.traced_calls import SeatVersion, TracedCall, TracedDecision

SEATS = ("claude_opus", "claude_sonnet", "deepseek", "gpt", "grok", "qwen")
TEMPLATE = "7e3b1a7e0000ffff"
GATE = "not enough data: 119 of 3,360 forecasts needed"


def make_row(
    name: str, kind: ForecasterKind = ForecasterKind.BASELINE_SEAT, brier: float = 0.24, **changes: Any
) -> LeaderboardRow:
    """A row of 480 forecasts, below the number that a rank needs."""
    seat = name if "seat" in kind.value else None
    row = LeaderboardRow(
        variant=Variant(
            variant_id=f"{kind.value} {name}",
            forecaster=name,
            kind=kind,
            model=f"triplegain/{name}" if seat else "",
            template_hash=TEMPLATE if seat else "",
            parameters_hash="",
        ),
        seat=seat,
        calls=Calls(480, 476, {"SEAT_TIMEOUT": 4}, 900.0, 2400.0, 400_000, Decimal("1.25")),
        evidence={Evidence.LIVE: 476},
        quality=make_quality(brier),
        unranked_quality=None,
        gate=GATE,
        rank=None,
        compared_brier=None,
        in_confidence_set=None,
        beats_baselines_p=None,
        spa_p=None,
        shapley=None,
        leak=None,
        shadow_book=make_book() if seat else None,
    )
    return replace(row, **changes)


def make_quality(brier: float) -> ForecastQuality:
    """Scores of 476 settled forecasts."""
    return ForecastQuality(
        settled=476,
        independent=119.0,
        brier=brier,
        brier_interval=Interval(0.23, 0.26),
        log_loss=0.69,
        calibration_error=0.03,
        calibration=(CalibrationBin(200, 0.45, 0.47), CalibrationBin(276, 0.55, 0.52)),
        hits=0.53,
        hits_interval=Interval(0.44, 0.62),
        mean_p_up=0.51,
        share_up=0.5,
    )


def make_book() -> ShadowBook:
    """A shadow book that lost two per cent."""
    return ShadowBook(
        account="shadow",
        starting_equity=Decimal(2100),
        final_equity=Decimal(2058),
        bill_usd=Decimal("1.25"),
        gross_return=-0.0194,
        net_return=-0.02,
        max_drawdown=0.03,
        sharpe=-0.4,
        deflated_sharpe=0.1,
        trades=12,
        curve=tuple((START + timedelta(days=day), 2100.0 - 2 * day) for day in range(1, DAYS + 1)),
    )


def make_board(account: str, rows: tuple[LeaderboardRow, ...] | None = None, **changes: Any) -> Leaderboard:
    """A board without ranks."""
    if rows is None:
        rows = (
            *(make_row(name, brier=0.24 + 0.001 * number) for number, name in enumerate(SEATS)),
            make_row("consensus", ForecasterKind.CONSENSUS, 0.23),
            make_row("MEDIAN", ForecasterKind.SHADOW, 0.235),
            make_row("always 50 %", ForecasterKind.BASELINE, 0.25),
        )
    board = Leaderboard(
        account=account,
        start=START,
        end=END,
        horizon_hours=4,
        currency="USDT",
        simulated=True,
        symbols=("BTC/USDT",),
        events=476,
        compared=470,
        trials=12,
        needed=3360,
        rows=rows,
        holdings=(Holding("cash", 0.0, 0.0),),
        leaders=(),
        effective_voters=1.5,
        verdict=("Nobody is ranked.", "The six seats are worth 1.5 opinions."),
    )
    return replace(board, **changes)


def gpt_board(account: str, brier: float, **changes: Any) -> Leaderboard:
    """A board with one seat."""
    return make_board(account, (make_row("gpt", ForecasterKind.SEAT, brier, **changes),))


def make_report(account: str, **changes: Any) -> ValidationReport:
    """A passing period of the account."""
    inputs = make_inputs(
        account=replace(make_inputs().account, account=account), simulated=True, baseline=True, **changes
    )
    return build_validation(inputs)


def make_forecasts(board: Leaderboard) -> pl.DataFrame:
    """A forecast a day of each row, every second one right."""
    rows = [
        {
            "kind": row.variant.kind.value,
            "forecaster": row.variant.forecaster,
            "model": row.variant.model,
            "template_hash": row.variant.template_hash,
            "parameters_hash": row.variant.parameters_hash,
            "as_of": START + timedelta(days=day),
            "p_up": 0.6 if day % 3 else None,
            "went_up": bool(day % 2),
        }
        for row in board.rows
        for day in range(DAYS)
    ]
    return pl.DataFrame(rows)


def make_attempt(seat: str, number: int, **changes: Any) -> ModelCall:
    """A call that a provider answered."""
    call = ModelCall(
        call_id=UUID(int=number),
        purpose="forecast",
        conversation_id=UUID(int=number),
        snapshot_id=UUID(int=1),
        prompt_hash="prompt",
        template_hash=TEMPLATE,
        seat=seat,
        vendor="openai",
        model=f"openai/{seat}",
        baseline=False,
        code_version="seat-1",
        parameters={},
        turn=1,
        attempt=1,
        asked_at=START,
        status=CallStatus.ANSWERED,
        reason_code=None,
        retry_in_seconds=None,
        raw_answer='{"action": "HOLD"}',
        parsed={"action": "HOLD"},
        answered_by=f"openai/{seat}",
        input_tokens=900,
        output_tokens=100,
        worst_case_usd=Decimal("0.01"),
        cost_usd=Decimal("0.004"),
        latency_ms=800.0,
        http_status=200,
        error=None,
    )
    return replace(call, **changes)


def make_decision(number: int, error: str = "429 Too Many Requests") -> TracedDecision:
    """A decision on which five seats answered and one had two failed attempts."""
    calls = []
    for place, seat in enumerate(SEATS):
        identity = 100 * number + 10 * place
        answered = seat != "gpt"
        failed = {"status": CallStatus.REFUSED, "reason_code": ReasonCode.SEAT_RATE_LIMITED, "error": error}
        attempts = (
            (make_attempt(seat, identity + 1, **failed), make_attempt(seat, identity + 2, attempt=2, **failed))
            if not answered
            else ()
        )
        calls.append(
            TracedCall(
                forecast_id=UUID(int=identity),
                seat=seat,
                vendor="openai",
                model=f"openai/{seat}",
                baseline=False,
                template_hash=TEMPLATE,
                system_text="You forecast prices.",
                user_text="<evidence>…</evidence>",
                answered=answered,
                reason_code=None if answered else "SEAT_RATE_LIMITED",
                raw_answer='{"action": "HOLD"}' if answered else None,
                error=None if answered else error,
                action="HOLD" if answered else None,
                p_up=0.5 if answered else None,
                turns=1,
                input_tokens=900,
                output_tokens=100,
                cost_usd=Decimal("0.004"),
                latency_ms=800.0 + place,
                attempts=attempts,
            )
        )
    return TracedDecision(
        decision_id=UUID(int=number),
        symbol="BTC/USDT",
        as_of=START + timedelta(hours=number),
        action="HOLD",
        reason_code="CONSENSUS_UNDECIDED",
        p_up=0.5,
        quorum_met=True,
        explanation="Five of six seats see no direction. " * 60,  # longer than MLflow's previews may be
        forecast_ids=[call.forecast_id for call in calls],
        calls=tuple(calls),
    )


def make_window(
    account: str, board: Leaderboard | None = None, decisions: tuple[TracedDecision, ...] = (), **changes: Any
) -> TrackedWindow:
    """A window with this board."""
    board = board or make_board(account)
    return tracked_window(make_report(account, **changes), board, make_forecasts(board), decisions, "offline")


def only_pictures(window: TrackedWindow, *names: str) -> TrackedWindow:
    """The window with these pictures alone: to draw all three takes longer than everything else of a projection."""
    return replace(window, charts={name: window.charts[name] for name in names})


def make_version(seat: str, model: str, *, baseline: bool = False, day: int = 1) -> SeatVersion:
    """A model that first sat in a seat on a day."""
    return SeatVersion(seat, "openai", model, TEMPLATE, baseline, datetime(2026, 1, day, tzinfo=UTC))
