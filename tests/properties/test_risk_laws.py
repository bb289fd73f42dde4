"""What no input may make the risk engine do. The limits are recomputed here with fractions, from the requirements."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from risk_cases import AT, LIMITS, codes, holding, judged, portfolio, proposal

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import (
    Breaker,
    BreakerName,
    BreakerState,
    BreakerStates,
    Holding,
    PortfolioState,
    Proposal,
    ProposalKind,
    VerdictStatus,
)
from triplegain_pipelines.risk import engine
from triplegain_pipelines.settings.risk import RiskLimits

pytestmark = pytest.mark.unit

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


def decimals(low: str, high: str, places: int = 2) -> st.SearchStrategy[Decimal]:
    """Decimals of a range."""
    return st.decimals(low, high, places=places, allow_nan=False, allow_infinity=False)


World = tuple[Proposal, PortfolioState, RiskLimits, BreakerStates, Decimal, bool]

fees = decimals("0", "0.01", 4)
proposals = st.builds(
    proposal,
    symbol=st.sampled_from(SYMBOLS),
    direction=st.sampled_from(Direction),
    quantity=st.none() | decimals("0.001", "500", 5),
    entry_price=decimals("50", "150"),
    stop_loss=st.none() | decimals("1", "200"),
    take_profit=st.none() | decimals("1", "600"),
    leverage=decimals("1", "12", 1),
    confidence=st.floats(0.5, 1),
    regime=st.sampled_from(Regime),
    size_factor=decimals("0.1", "1"),
)


@st.composite
def accounts(draw: st.DrawFn) -> PortfolioState:
    """Accounts with up to two positions, of either sign, that may be deep in any trouble."""
    held = tuple(
        Holding(symbol, draw(decimals("-20", "20", 1)) or Decimal(1), Decimal(100), draw(decimals("80", "120")), None)
        for symbol in draw(st.lists(st.sampled_from(SYMBOLS), max_size=2, unique=True))
    )
    account = portfolio(cash=draw(decimals("-100", "20000")), holdings=held)
    return replace(
        account,
        peak_equity=max(account.equity, account.equity * draw(decimals("1", "1.3"))),
        day_start_equity=account.equity * draw(decimals("0.9", "1.06")),
        last_loss_risk=draw(st.none() | decimals("1", "200")),
        drawdown_locked=draw(st.booleans()),
        unresolved_symbols=frozenset(draw(st.sets(st.sampled_from(SYMBOLS), max_size=1))),
    )


@st.composite
def limit_sets(draw: st.DrawFn) -> RiskLimits:
    """Limits within the hard ceilings."""
    half = draw(decimals("0.02", "0.10"))
    document = LIMITS.model_dump()
    regime = {"minimum_confidence": draw(st.floats(0.5, 0.9)), "maximum_leverage": draw(decimals("1", "5", 1))}
    document.update(
        risk_per_trade=draw(decimals("0.001", "0.02", 3)),
        exposure_per_asset=draw(decimals("0.05", "0.30")),
        total_exposure=draw(decimals("0.05", "0.60")),
        leverage_live=draw(decimals("1", "2", 1)),
        minimum_reward_to_risk=draw(decimals("1.5", "2", 1)),
        short_selling=draw(st.booleans()),
        drawdown_ladder={"half_size": half, "pause": half + Decimal("0.05"), "lock": half + Decimal("0.1")},
        daily_loss={"warn": draw(decimals("0.01", "0.03")), "halt": draw(decimals("0.03", "0.05"))},
        regimes=dict.fromkeys(Regime, regime),
    )
    document["breakers"]["half_open"]["size_factor"] = draw(decimals("0.1", "0.9", 1))
    return RiskLimits.model_validate(document)


@st.composite
def wild_worlds(draw: st.DrawFn) -> World:
    """Anything against anything: most of it is refused."""
    states = st.sampled_from(BreakerState)
    breakers = {name: Breaker(name, draw(states), AT, "", 1) for name in BreakerName}
    return draw(proposals), draw(accounts()), draw(limit_sets()), breakers, draw(fees), draw(st.booleans())


@st.composite
def fair_worlds(draw: st.DrawFn) -> World:
    """Proposals and accounts in order, of every size: most of them pass, and many are cut."""
    asked = draw(proposals)
    sign, distance = asked.direction.sign, draw(decimals("0.01", "16"))
    asked = replace(
        asked,
        symbol="BTC/USDT",
        confidence=0.95,
        stop_loss=asked.entry_price - sign * distance,
        take_profit=asked.entry_price + sign * distance * 3,
    )
    held = draw(
        st.none()
        | st.builds(holding, quantity=st.sampled_from(["1", "5.5", "-2"]), mark=st.sampled_from(["90", "110.5"]))
    )
    account = portfolio(cash=draw(decimals("2000", "20000")), holdings=() if held is None else (held,))
    account = replace(
        account,
        peak_equity=account.equity * draw(decimals("1", "1.07")),
        day_start_equity=account.equity * draw(decimals("0.97", "1.02")),
        last_loss_risk=draw(st.none() | decimals("1", "200")),
    )
    states = st.sampled_from([*[BreakerState.CLOSED] * 7, BreakerState.HALF_OPEN])
    breakers = {name: Breaker(name, draw(states), AT, "", 1) for name in BreakerName}
    limits = draw(limit_sets()).model_copy(update={"short_selling": True})
    return asked, account, limits, breakers, draw(fees), draw(st.booleans())


factors = st.lists(st.sampled_from([Decimal("0.5"), Decimal("0.9"), Decimal(1)]), min_size=9, max_size=9)


def stricter(loose: RiskLimits, by: list[Decimal]) -> RiskLimits:
    """Limits of which each is as strict or stricter, by a factor of its own."""
    document = loose.model_dump()
    for name, factor in zip(("risk_per_trade", "exposure_per_asset", "total_exposure"), by, strict=False):
        document[name] *= factor
    document["breakers"]["half_open"]["size_factor"] *= by[3]
    document["daily_loss"]["halt"] *= by[4]
    document["drawdown_ladder"] = {step: by[5] * at for step, at in document["drawdown_ladder"].items()}
    document["minimum_reward_to_risk"] /= by[6]
    document["leverage_live"] = max(Decimal(1), by[7] * loose.leverage_live)
    for regime in document["regimes"].values():
        regime["maximum_leverage"] = max(Decimal(1), by[8] * regime["maximum_leverage"])
    return RiskLimits.model_validate(document)


def broken(outcome: Proposal, account: PortfolioState, limits: RiskLimits, fee: Decimal, *, live: bool) -> list[str]:
    """The limits that `outcome` breaks, computed from the requirements and in fractions."""
    assert outcome.quantity is not None
    assert outcome.stop_loss is not None
    assert outcome.take_profit is not None
    quantity, entry, sign = Fraction(outcome.quantity), Fraction(outcome.entry_price), outcome.direction.sign
    risk = sign * (entry - Fraction(outcome.stop_loss))
    reward = sign * (Fraction(outcome.take_profit) - entry)
    held = {item.symbol: Fraction(item.quantity) * Fraction(item.mark_price) for item in account.holdings}
    equity = Fraction(account.cash) + sum(held.values())
    regime = limits.regimes[outcome.regime]
    notional = quantity * entry
    peak, start = Fraction(account.peak_equity), Fraction(account.day_start_equity)
    owed = sum(-worth for worth in held.values() if worth < 0)
    kept = {
        "quantity": quantity > 0 and quantity % Fraction("0.0001") == 0 and notional >= 5,
        "stop": risk > 0 and outcome.stop_loss > 0,
        "reward to risk": reward >= Fraction(limits.minimum_reward_to_risk) * risk,
        "risk per trade": quantity * risk <= Fraction(limits.risk_per_trade) * equity <= Fraction("0.02") * equity,
        "exposure": notional <= Fraction(limits.exposure_per_asset) * equity,
        "total exposure": notional + sum(map(abs, held.values())) <= Fraction(limits.total_exposure) * equity,
        "cash": notional / Fraction(outcome.leverage) + notional * Fraction(fee) <= Fraction(account.cash) - owed,
        "leverage": outcome.leverage <= min(5, regime.maximum_leverage, limits.leverage_live if live else 5),
        "confidence": outcome.confidence >= regime.minimum_confidence,
        "short": sign > 0 or limits.short_selling,
        "flat": outcome.symbol not in held,
        "resolved": outcome.symbol not in account.unresolved_symbols,
        "drawdown": not account.drawdown_locked and peak - equity <= Fraction(limits.drawdown_ladder.pause) * peak,
        "daily loss": start - equity < Fraction(limits.daily_loss.halt) * start or equity >= start,
        "martingale": outcome.engine_sized
        or account.last_loss_risk is None
        or quantity * risk <= Fraction(account.last_loss_risk),
    }
    return [name for name, holds in kept.items() if not holds]


INSTRUMENT = Instrument("BTC/USDT", quantity_step=Decimal("0.0001"), minimum_quantity=Decimal("0.0001"))


def verdict_on(world: World, asked: Proposal | None = None) -> engine.Verdict:
    """The verdict in this world."""
    plain, account, limits, breakers, fee, live = world
    rest = {"limits": limits, "breakers": breakers, "instrument": INSTRUMENT, "fee_rate": fee, "live": live}
    return judged(asked or plain, account, **rest)


@settings(max_examples=250, deadline=None)
@given(wild_worlds() | fair_worlds())
def test_what_is_allowed_breaks_no_limit(world: World) -> None:
    """R1, R2, R3, R5: whatever goes in, what comes out is within every limit and asks for no more than was asked."""
    asked, account, limits, breakers, fee, live = world
    verdict = verdict_on(world)
    if not verdict.allows:
        assert verdict.proposal == asked
        return
    assert broken(verdict.proposal, account, limits, fee, live=live) == []
    assert all(breaker.state is not BreakerState.OPEN for breaker in breakers.values())
    assert asked.quantity is None or verdict.proposal.quantity <= asked.quantity
    unchanged = {"quantity": asked.quantity, "leverage": asked.leverage, "engine_sized": asked.engine_sized}
    assert replace(verdict.proposal, **unchanged) == asked
    changed = verdict.proposal.leverage != asked.leverage or asked.quantity not in {None, verdict.proposal.quantity}
    assert (verdict.status is VerdictStatus.MODIFIED) >= changed


@settings(max_examples=100, deadline=None)
@given(fair_worlds())
def test_half_size_halves(world: World) -> None:
    """R5, R6: on the ladder's first step and on trial, never more than the fraction of what was possible."""
    asked, account, limits, breakers, fee, live = world
    closed = {name: replace(breaker, state=BreakerState.CLOSED) for name, breaker in breakers.items()}
    high = replace(account, peak_equity=account.equity)
    whole = replace(asked, quantity=None)
    free = verdict_on((whole, high, limits, closed, fee, live))
    verdict = verdict_on((whole, account, limits, breakers, fee, live))
    assume(free.allows and verdict.allows)
    share = Fraction(1)
    if Fraction(account.drawdown) > Fraction(limits.drawdown_ladder.half_size):
        share /= 2
    if any(breaker.state is BreakerState.HALF_OPEN for breaker in breakers.values()):
        share *= Fraction(limits.breakers.half_open.size_factor)
    assert free.proposal.quantity is not None
    assert verdict.proposal.quantity is not None
    step = Fraction(INSTRUMENT.quantity_step)
    assert Fraction(verdict.proposal.quantity) <= share * (Fraction(free.proposal.quantity) + step)


@settings(max_examples=150, deadline=None)
@given(fair_worlds(), factors)
def test_a_stricter_limit_never_allows_more(world: World, by: list[Decimal]) -> None:
    """R2: a person who lowers a limit must never get a larger position for it."""
    asked, account, limits, *rest = world
    strict = verdict_on((asked, account, stricter(limits, by), *rest))
    assume(strict.allows)
    loose = verdict_on(world)
    assert loose.allows
    assert loose.proposal.quantity >= strict.proposal.quantity
    assert loose.proposal.leverage >= strict.proposal.leverage


@settings(max_examples=100, deadline=None)
@given(wild_worlds() | fair_worlds(), st.permutations(engine.RULES), st.permutations(engine.QUANTITY_RULES))
def test_the_order_of_the_rules_decides_nothing(
    world: World, rules: list[engine.Rule], quantity_rules: list[engine.Rule]
) -> None:
    """R1: a rule that hides behind another one is a rule that somebody's refactoring turns off."""
    verdict = verdict_on(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "RULES", tuple(rules))
        patch.setattr(engine, "QUANTITY_RULES", tuple(quantity_rules))
        assert verdict_on(world) == verdict


@settings(max_examples=150, deadline=None)
@given(fair_worlds())
def test_an_answer_checked_again_passes_unchanged(world: World) -> None:
    """R1: the order path asks again in the transaction that inserts the order; it must get what it was promised."""
    verdict = verdict_on(world)
    assume(verdict.allows)
    again = verdict_on(world, verdict.proposal)
    assert (again.status, again.proposal) == (VerdictStatus.APPROVED, verdict.proposal)


@settings(max_examples=100, deadline=None)
@given(wild_worlds())
def test_risk_can_always_be_reduced(world: World) -> None:
    """R6: whatever stands against new risk, a position can be closed, and all of it."""
    asked, account, *_ = world
    verdict = verdict_on(world, replace(asked, kind=ProposalKind.CLOSE))
    held = account.holding(asked.symbol)
    if held is None:
        assert codes(verdict) == {"NOTHING_TO_CLOSE"}
    else:
        assert (verdict.allows, verdict.proposal.quantity) == (True, abs(held.quantity))


@settings(max_examples=100, deadline=None)
@given(fair_worlds())
def test_fair_worlds_are_not_refused_out_of_hand(world: World) -> None:
    """R1: laws over worlds in which everything is refused would hold for an engine that refuses everything."""
    about_size = {"NO_EXPOSURE_LEFT", "BELOW_MINIMUM_ORDER"}
    about_account = {"DRAWDOWN_PAUSED", "DRAWDOWN_LOCKED", "DAILY_LOSS_HALTED"}
    verdict = verdict_on(world)
    assert verdict.allows or codes(verdict) & (about_size | about_account)
