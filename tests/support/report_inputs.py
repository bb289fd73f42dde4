"""Inputs of a validation made by hand: everything passes until a test changes one thing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.orders import Leg, Side
from triplegain_pipelines.evaluation.benchmarks import benchmarks
from triplegain_pipelines.evaluation.forecast_scores import ForecastScore
from triplegain_pipelines.evaluation.performance import (
    Interval,
    execution_metrics,
    portfolio_metrics,
    trade_metrics,
)
from triplegain_pipelines.evaluation.validation_inputs import SymbolFigures, ValidationInputs
from triplegain_pipelines.store.accounts import Account
from triplegain_pipelines.store.evidence import BreakerChange, CandleGap, DecisionCounts, SeatCalls
from triplegain_pipelines.store.performance import (
    ExecutedOrder,
    OpenPosition,
    ReasonCount,
    TradeRecord,
    TradingCounts,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 20
END = START + timedelta(days=DAYS)
BTC = "BTC/USDT"
HOUR = timedelta(hours=1)


def make_inputs(
    profits: list[float] | None = None, equities: list[float] | None = None, **changes: Any
) -> ValidationInputs:
    """A passing period of twenty days with sixty trades; `profits` and `equities` (one a day) change the numbers."""
    profits = [3.0, -1.0] * 30 if profits is None else profits
    equities = [2100 + 6 * day + (day % 3) for day in range(1, DAYS + 1)] if equities is None else equities
    equity = pl.DataFrame(
        {
            "at": [START + timedelta(days=day + 1) for day in range(len(equities))],
            "equity": [float(value) for value in equities],
            "positions_value": [100.0] * len(equities),
            "external_flow": [0.0] * len(equities),
        },
        schema={
            "at": pl.Datetime("us", "UTC"),
            "equity": pl.Float64,
            "positions_value": pl.Float64,
            "external_flow": pl.Float64,
        },
    )
    prices = pl.DataFrame(
        {
            "symbol": [BTC] * 20,
            "at": [START + timedelta(days=day) for day in range(20)],
            "price": [60000.0 + 100 * day for day in range(20)],
        },
        schema={"symbol": pl.String, "at": pl.Datetime("us", "UTC"), "price": pl.Float64},
    )
    trades = [make_trade(number, profit) for number, profit in enumerate(profits)]
    trading = trade_metrics(trades)
    inputs = ValidationInputs(
        account=Account("demo", "kraken", "USDT", Decimal(2100), simulated=False, opened_at=START),
        schema="paper_trading",
        start=START,
        end=END,
        symbols=(BTC,),
        simulated=False,
        baseline=False,
        replay=False,
        config_hash="c0ffee",
        result_hash="5eed",
        code_versions={"consensus": ["consensus-1"]},
        equity=equity,
        prices=prices,
        trades=trades,
        positions=[OpenPosition(BTC, Decimal("0.01"), Decimal(60000), Decimal(59000), None, START)],
        portfolio=portfolio_metrics(equity, START, END, 2100),
        trading=trading,
        execution=execution_metrics([make_order()], 2100),
        by_symbol=[SymbolFigures(BTC, trading, 0.03)],
        benchmarks=benchmarks(prices, [BTC], START, END, 2100),
        decisions_due=480,
        decisions=DecisionCounts(made=480, quorum_failures=2, unanimous=40, unanimous_settled=36, unanimous_right=20),
        calls=[make_calls()],
        forecasters=[make_score("gpt", "seat", 0.24), make_score("always 50 %", "baseline", 0.25)],
        counts=TradingCounts(proposals=70, approved=50, modified=12, rejected=8, orders=180, fills=130),
        reasons=[
            ReasonCount("consensus", "HOLD", "CONSENSUS_UNDECIDED", 400, START, END),
            ReasonCount("order path", "REFUSED", "DRAWDOWN_PAUSED", 8, START + 30 * HOUR, END),
            ReasonCount("risk", "REJECTED", "DRAWDOWN_PAUSED", 8, START + 30 * HOUR, END),
            ReasonCount("risk", "REJECTED", "TOTAL_EXPOSURE_REDUCED", 5, START + 30 * HOUR, END),
        ],
        breaker_changes=[BreakerChange("rapid_loss", "CLOSED", "OPEN", START + 20 * HOUR, "sensor", "BREAKER_TRIPPED")],
        gaps=[CandleGap(BTC, "1m", START + 5 * HOUR, START + 5 * HOUR + timedelta(minutes=6), 7, "missing")],
    )
    return replace(inputs, **changes)


def make_trade(number: int, profit: float, explanation: str = "Four of six seats expect a rise.") -> TradeRecord:
    """A long trade of three hours."""
    opened_at = START + timedelta(hours=4 * number)
    return TradeRecord(
        decision_id=UUID(int=number + 1),
        symbol=BTC,
        direction=Direction.LONG,
        quantity=Decimal("0.01"),
        entry_price=Decimal(60000),
        exit_price=Decimal(60000) + Decimal(str(profit)) * 100,
        decided_price=Decimal(60000),
        fees=Decimal("0.5"),
        profit=Decimal(str(profit)),
        initial_risk=Decimal(4),
        r_multiple=Decimal(str(profit)) / 4,
        exit_leg=Leg.EXIT if profit > 0 else Leg.STOP,
        opened_at=opened_at,
        closed_at=opened_at + 3 * HOUR,
        p_up=0.57,
        regime=Regime.TRENDING_BULL,
        answers=6,
        explanation=explanation,
        risk_reasons=("RISK_PER_TRADE_REDUCED",),
    )


def make_order(latency: float | None = 0.05) -> ExecutedOrder:
    """A filled entry."""
    return ExecutedOrder(
        symbol=BTC,
        leg=Leg.ENTRY,
        side=Side.BUY,
        quantity=Decimal("0.01"),
        value=Decimal("600.3"),
        decided_price=Decimal(60000),
        trigger_price=None,
        filled_at=START,
        latency_seconds=latency,
    )


def make_calls(**changes: Any) -> SeatCalls:
    """The calls of a seat, without errors."""
    calls = SeatCalls(
        seat="gpt",
        vendor="openai",
        model="openai/gpt",
        baseline=False,
        calls=480,
        answered=480,
        reasons={},
        cost_usd=Decimal("1.25"),
        latency_p50_ms=900.0,
        latency_p95_ms=2400.0,
        tokens=400000,
        template_hashes=["7e3b1a7e0000ffff"],
        code_versions=["seat-1"],
    )
    return replace(calls, **changes)


def make_score(
    name: str, kind: str, brier: float, note: str | None = "not enough data: 120 of 1,208 needed"
) -> ForecastScore:
    """A score of 480 forecasts."""
    return ForecastScore(
        name=name,
        kind=kind,
        asked=480,
        answered=480,
        settled=476,
        effective=119.0,
        accuracy=0.53,
        accuracy_interval=Interval(0.44, 0.62),
        brier=brier,
        brier_interval=Interval(0.23, 0.26),
        log_loss=0.69,
        calibration_error=0.03,
        note=note,
    )
