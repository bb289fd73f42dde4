"""Rows of an account's period, planted straight into the tables that reports read. Made up from a seed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg import sql

from triplegain_pipelines.domain.ids import deterministic_id

ACCOUNT = "demo"
VENUE = "simulated"
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
GRACE = timedelta(seconds=10)
SEATS = {
    "gpt": ("openai", "momentum"),
    "grok": ("xai", "mean_reversion"),
    "deepseek": ("deepseek", "breakout"),
    "claude_sonnet": ("anthropic", "volatility_scaled_trend"),
    "claude_opus": ("anthropic", "base_rate"),
    "qwen": ("ollama", "random"),
}
_FIRST_PRICES = {"BTC/USDT": 64000.0, "ETH/USDT": 3300.0, "SOL/USDT": 140.0, "XRP/USDT": 0.6}


@dataclass
class Period:
    """What is planted: `days` from START on, `trades_a_day` round trips, and what to leave out."""

    days: int = 3
    symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT")
    hours_between_trades: int = 7
    seed: int = 11
    skipped_hours: frozenset[int] = frozenset()
    schema: str = "paper_trading"
    rows: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        """End of the last day."""
        return START + timedelta(days=self.days)

    def add(self, schema: str, table: str, **row: Any) -> None:
        """Remember a row."""
        self.rows.setdefault((schema, table), []).append(row)

    def add_trading(self, table: str, **row: Any) -> None:
        """Remember a row of the account's."""
        self.add(self.schema, table, account=ACCOUNT, **row)


def plant(connection: psycopg.Connection, period: Period) -> dict[str, np.ndarray]:
    """Write the period; returns the minute closes of each symbol."""
    generator = np.random.default_rng(period.seed)
    closes = {symbol: _walk(generator, symbol, period) for symbol in period.symbols}
    period.add_trading(
        "accounts", venue=VENUE, currency="USDT", starting_cash=Decimal(2100), simulated=True, opened_at=START
    )
    period.add("research", "prompts", prompt_hash="p", template_hash="template-1", system_text="s", user_text="u")
    cash, held = Decimal(2100), {}
    peak = cash
    for hour in range(period.days * 24):
        at = START + hour * HOUR + GRACE
        for index, symbol in enumerate(period.symbols):
            decision = _decide(generator, period, symbol, at, closes[symbol], hour)
            if decision is None:
                continue
            price = Decimal(str(closes[symbol][hour * 60]))
            if symbol in held:
                opened = held[symbol]
                if hour - opened["hour"] >= 4:
                    cash += _close(period, held.pop(symbol), price, at, generator)
            elif (hour + 3 * index) % period.hours_between_trades == 0:
                held[symbol] = _open(period, decision, symbol, price, at, hour)
                cash -= held[symbol]["paid"]
        marks = {name: Decimal(str(closes[name][hour * 60 + 59])) * item["quantity"] for name, item in held.items()}
        value = sum(marks.values(), Decimal(0))
        peak = max(peak, cash + value)
        period.add_trading(
            "equity",
            at=START + (hour + 1) * HOUR,
            cash=cash,
            positions_value=value,
            equity=cash + value,
            peak=peak,
            marks=json.dumps({name: str(mark) for name, mark in marks.items()}),
        )
    for opened in held.values():
        period.add_trading(
            "positions",
            symbol=opened["symbol"],
            decision_id=opened["decision_id"],
            quantity=opened["quantity"],
            average_entry=opened["price"],
            decided_price=opened["price"],
            stop_loss=opened["price"] * Decimal("0.98"),
            take_profit=None,
            initial_risk=Decimal(5),
            fees=Decimal("0.2"),
            realised=Decimal(0),
            opened_at=opened["at"],
        )
    for (schema, table), rows in period.rows.items():
        copy_rows(connection, schema, table, rows)
    return closes


def copy_rows(connection: psycopg.Connection, schema: str, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows that all have the same columns."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(schema, table), sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(list(row.values()))


def add_breaker_changes(connection: psycopg.Connection) -> None:
    """The drawdown breaker opens and half opens again."""
    changes: Iterable[tuple[str, str, int, str]] = (
        ("CLOSED", "OPEN", 20, "BREAKER_TRIPPED"),
        ("OPEN", "HALF_OPEN", 24, "BREAKER_COOLED_DOWN"),
        ("HALF_OPEN", "CLOSED", 30, "BREAKER_TRIALS_PASSED"),
    )
    copy_rows(
        connection,
        "ops",
        "breaker_changes",
        [
            {
                "account": ACCOUNT,
                "name": "consecutive_losses",
                "sequence": number,
                "from_state": before,
                "to_state": after,
                "changed_at": START + hour * HOUR,
                "changed_by": "sensor",
                "reason": reason,
                "context": "{}",
            }
            for number, (before, after, hour, reason) in enumerate(changes, 1)
        ],
    )


def add_refusals(connection: psycopg.Connection, period: Period) -> None:
    """Two decisions that risk refused and one that expired, in the outbox."""
    decisions = period.rows["research", "consensus_decisions"][:3]
    endings = (("REFUSED", "DRAWDOWN_PAUSED"), ("REFUSED", "DRAWDOWN_PAUSED"), ("EXPIRED", None))
    copy_rows(
        connection,
        period.schema,
        "outbox",
        [
            {
                "account": ACCOUNT,
                "decision_id": decision["decision_id"],
                "queued_at": decision["as_of"],
                "valid_until": decision["valid_until"],
                "status": status,
                "reason_code": reason,
                "changed_at": decision["as_of"],
            }
            for decision, (status, reason) in zip(decisions, endings, strict=True)
        ],
    )


def add_gap(connection: psycopg.Connection, symbol: str = "BTC/USDT", missing: int = 7) -> None:
    """A gap of minutes on the second day."""
    first = START + 30 * HOUR
    copy_rows(
        connection,
        "market",
        "candle_gaps",
        [
            {
                "venue": VENUE,
                "symbol": symbol,
                "timeframe": "1m",
                "starts_at": first,
                "ends_at": first + (missing - 1) * MINUTE,
                "missing": missing,
                "kind": "missing",
            }
        ],
    )


def _walk(generator: np.random.Generator, symbol: str, period: Period) -> np.ndarray:
    steps = generator.standard_t(4, period.days * 1440) * 0.0006 + 0.000003
    closes = np.round(_FIRST_PRICES[symbol] * np.exp(np.cumsum(steps)), 4)
    opens = np.concatenate([[_FIRST_PRICES[symbol]], closes[:-1]])
    for minute, (first, last) in enumerate(zip(opens.tolist(), closes.tolist(), strict=True)):
        period.add(
            "market",
            "candles",
            venue=VENUE,
            symbol=symbol,
            timeframe="1m",
            opened_at=START + minute * MINUTE,
            open=first,
            high=max(first, last),
            low=min(first, last),
            close=last,
            volume=1.0,
            source="test",
        )
    return opens


def _decide(
    generator: np.random.Generator, period: Period, symbol: str, at: datetime, prices: np.ndarray, hour: int
) -> UUID | None:
    if hour in period.skipped_hours:
        return None
    snapshot, decision = deterministic_id("snapshot", symbol, at), deterministic_id("decision", symbol, at)
    period.add(
        "research",
        "snapshots",
        snapshot_id=snapshot,
        venue=VENUE,
        symbol=symbol,
        as_of=at,
        content_hash=str(snapshot),
        data_version="d",
        code_version="snapshot-1",
        document="{}",
    )
    entry, exit_at = prices[hour * 60 + 1], min((hour + 4) * 60 + 1, len(prices) - 1)
    change = float(prices[exit_at] / entry - 1)
    if hour + 4 < period.days * 24:
        period.add(
            "research",
            "forecast_outcomes",
            venue=VENUE,
            symbol=symbol,
            as_of=at,
            horizon_hours=4,
            settled_at=at + 4 * HOUR,
            entry_price=float(entry),
            exit_price=float(prices[exit_at]),
            **{"return": change},
            went_up=change > 0,
        )
    forecasts = [
        _forecast(period, snapshot, seat, vendor, model, generator, change) for seat, (vendor, model) in SEATS.items()
    ]
    p_up = float(np.clip(0.5 + 4 * change + generator.normal(0, 0.05), 0.02, 0.98))
    trades = abs(p_up - 0.5) > 0.02
    period.add(
        "research",
        "consensus_decisions",
        decision_id=decision,
        account=ACCOUNT,
        venue=VENUE,
        symbol=symbol,
        as_of=at,
        valid_until=at + 10 * MINUTE,
        snapshot_id=snapshot,
        forecast_ids=forecasts,
        regime="ranging",
        action="BUY" if trades and p_up > 0.5 else "CLOSE" if trades else "HOLD",
        reason_code="CONSENSUS_REACHED" if trades else "CONSENSUS_UNDECIDED",
        p_up=p_up,
        confidence=max(p_up, 1 - p_up),
        pooled_log_odds=0.1,
        slope=0.3,
        settled_count=0.0,
        answers=6,
        vendors=5,
        quorum_met=True,
        unanimous=bool(generator.random() < 0.2),
        agreement=0.8,
        disagreement=0.2,
        size_factor=Decimal(1),
        leverage=Decimal(1),
        reference_price=float(prices[hour * 60]),
        atr=1.0,
        explanation=f"Four of six seats expect {symbol} to rise over four hours; <b>momentum</b> agrees.",
        code_version="consensus-1",
        code_versions=json.dumps({"snapshot": "snapshot-1", "technical": "technical-1"}),
    )
    return decision


def _forecast(
    period: Period,
    snapshot: UUID,
    seat: str,
    vendor: str,
    model: str,
    generator: np.random.Generator,
    change: float,
) -> UUID:
    forecast = deterministic_id("forecast", snapshot, seat)
    failed = bool(generator.random() < 0.004)
    p_up = None if failed else float(np.clip(0.5 + 2 * change + generator.normal(0, 0.08), 0.02, 0.98))
    period.add(
        "research",
        "seat_forecasts",
        forecast_id=forecast,
        snapshot_id=snapshot,
        prompt_hash="p",
        seat=seat,
        vendor=vendor,
        model=f"triplegain/{model}",
        baseline=True,
        code_version="seat-1",
        parameters="{}",
        status="abstained" if failed else "answered",
        reason_code="SEAT_TIMEOUT" if failed else None,
        turns=1,
        action=None if failed else "HOLD",
        confidence=p_up,
        p_up_4h=p_up,
        p_up_24h=p_up,
        input_tokens=900,
        output_tokens=80,
        cost_usd=Decimal("0.0004"),
        latency_ms=float(generator.gamma(2, 3)),
    )
    return forecast


def _open(period: Period, decision: UUID, symbol: str, price: Decimal, at: datetime, hour: int) -> dict[str, Any]:
    filled = round(price * Decimal("1.0005"), 8)
    quantity = round(Decimal(500) / price, 8)
    proposal = deterministic_id("proposal", decision)
    period.add_trading(
        "proposals",
        proposal_id=proposal,
        decision_id=decision,
        symbol=symbol,
        kind="OPEN",
        direction="LONG",
        document="{}",
        proposed_at=at,
    )
    modified = hour % 3 == 0
    codes = ["RISK_PER_TRADE_REDUCED", "DRAWDOWN_HALF_SIZE"] if modified else ["WITHIN_LIMITS"]
    period.add_trading(
        "verdicts",
        proposal_id=proposal,
        status="MODIFIED" if modified else "APPROVED",
        reasons=json.dumps([{"code": code, "context": {}} for code in codes]),
        outcome="{}",
        inputs="{}",
        decided_at=at,
    )
    fee = round(quantity * filled * Decimal("0.001"), 8)
    opened = {
        "symbol": symbol,
        "decision_id": decision,
        "proposal_id": proposal,
        "quantity": quantity,
        "price": filled,
        "decided": price,
        "at": at + 50 * timedelta(seconds=1),
        "hour": hour,
        "fee": fee,
        "paid": quantity * filled + fee,
    }
    _order(period, opened, "ENTRY", "BUY", price, filled, fee, opened["at"])
    return opened


def _close(
    period: Period, opened: dict[str, Any], price: Decimal, at: datetime, generator: np.random.Generator
) -> Decimal:
    filled = round(price * Decimal("0.9995"), 8)
    quantity: Decimal = opened["quantity"]
    fee = round(quantity * filled * Decimal("0.001"), 8)
    fees = fee + opened["fee"]
    profit = quantity * (filled - opened["price"]) - fees
    stopped = profit < -4
    closed_at = at + 50 * timedelta(seconds=1)
    risk = quantity * opened["price"] * Decimal("0.02")
    _order(period, opened, "STOP" if stopped else "EXIT", "SELL", price, filled, fee, closed_at)
    period.add_trading(
        "trades",
        decision_id=opened["decision_id"],
        symbol=opened["symbol"],
        direction="LONG",
        quantity=quantity,
        entry_price=opened["price"],
        exit_price=filled,
        decided_price=opened["decided"],
        fees=fees,
        profit=profit,
        initial_risk=risk,
        r_multiple=round(profit / risk, 4),
        exit_leg="STOP" if stopped else "EXIT",
        opened_at=opened["at"],
        closed_at=closed_at,
    )
    return quantity * filled - fee


def _order(
    period: Period,
    opened: dict[str, Any],
    leg: str,
    side: str,
    decided: Decimal,
    filled: Decimal,
    fee: Decimal,
    at: datetime,
) -> None:
    order = deterministic_id("order", opened["decision_id"], leg)
    quantity = opened["quantity"]
    intended_at = at - 50 * timedelta(seconds=1)
    period.add_trading(
        "intents",
        client_order_id=order,
        decision_id=opened["decision_id"],
        proposal_id=opened["proposal_id"],
        symbol=opened["symbol"],
        leg=leg,
        attempt=1,
        side=side,
        order_type="STOP" if leg == "STOP" else "MARKET",
        quantity=quantity,
        decided_price=decided,
        trigger_price=decided if leg == "STOP" else None,
        token=1,
        intended_at=intended_at,
    )
    period.add_trading(
        "orders",
        client_order_id=order,
        symbol=opened["symbol"],
        state="FILLED",
        filled_quantity=quantity,
        reason_code="VENUE_ACCEPTED",
        changed_at=at,
    )
    period.add_trading(
        "fills",
        venue="paper",
        trade_id=f"{order}:1",
        client_order_id=order,
        symbol=opened["symbol"],
        side=side,
        quantity=quantity,
        price=filled,
        fee=fee,
        fee_currency="USDT",
        filled_at=at,
    )
    for kind, recorded_at in (("order_intended", START), ("fill_booked", START + timedelta(milliseconds=40))):
        sequence = len(period.rows.get((period.schema, "trading_events"), [])) + 1
        period.add_trading(
            "trading_events",
            sequence=sequence,
            occurred_at=at,
            recorded_at=recorded_at,
            kind=kind,
            payload=json.dumps({"client_order_id": str(order), "decision_id": str(opened["decision_id"])}),
            previous_hash="x",
            hash="x",
        )
