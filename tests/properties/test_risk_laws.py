"""What no input may make the risk engine do. The limits are recomputed here with fractions, from the requirements."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from risk_cases import AT, LIMITS, SYMBOLS, codes, holding, judged, portfolio, proposal

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import (
    Breaker,
    BreakerName,
    BreakerState,
    BreakerStates,
    Holding,
    MarketState,
    PortfolioState,
    Proposal,
    ProposalKind,
    TradingMode,
    Verdict,
    VerdictStatus,
)
from triplegain_pipelines.risk import engine
from triplegain_pipelines.risk.findings import Rule
from triplegain_pipelines.settings.risk import RiskLimits

# No coverage: of thousands of examples hypothesis draws, the rules themselves are a small part.
pytestmark = [pytest.mark.unit, pytest.mark.no_cover]


@cache
def decimals(low: str, high: str, places: int = 2) -> st.SearchStrategy[Decimal]:
    """Decimals of a range, drawn as whole numbers of their last place: a world has fifty of them."""
    first, last = (int(Decimal(end).scaleb(places)) for end in (low, high))
    return st.integers(first, last).map(lambda number: Decimal(number).scaleb(-places))


@dataclass(frozen=True)
class World:
    """Everything that a verdict rests on."""

    asked: Proposal
    account: PortfolioState
    limits: RiskLimits
    breakers: BreakerStates
    market: MarketState | None
    fee: Decimal
    live: bool
    mode: TradingMode

    def verdict(self, **changes: Any) -> Verdict:
        """The verdict in this world, or in one that differs by `changes`."""
        world = replace(self, **changes)
        return judged(
            world.asked,
            world.account,
            limits=world.limits,
            breakers=world.breakers,
            market=world.market,
            instrument=INSTRUMENT,
            fee_rate=world.fee,
            live=world.live,
            mode=world.mode,
        )


INSTRUMENT = Instrument("BTC/USDT", quantity_step=Decimal("0.0001"), minimum_quantity=Decimal("0.0001"))
fees = decimals("0", "0.01", 4)
proposals = st.builds(
    proposal,
    kind=st.sampled_from([ProposalKind.OPEN, ProposalKind.INCREASE]),
    symbol=st.sampled_from(SYMBOLS),
    direction=st.sampled_from(Direction),
    quantity=st.none() | decimals("0.001", "500", 5),
    entry_price=decimals("50", "150"),
    stop_loss=st.none() | decimals("1", "200"),
    take_profit=st.none() | decimals("1", "600"),
    leverage=decimals("1", "12", 1),
    confidence=st.none() | st.floats(0.5, 1),
    regime=st.sampled_from(Regime),
    size_factor=decimals("0.1", "1"),
)


@st.composite
def markets(draw: st.DrawFn, *, whole: bool) -> MarketState:
    """Markets of any volatility and correlation; where `whole` is not asked for, with holes."""
    symbols = SYMBOLS if whole else tuple(sorted(draw(st.sets(st.sampled_from(SYMBOLS)))))
    pairs = [(one, other) for one in symbols for other in symbols if one < other]
    return MarketState(
        as_of=AT,
        volatilities={symbol: draw(st.floats(0, 3)) for symbol in symbols},
        percentiles={symbol: draw(st.floats(0, 1)) for symbol in symbols},
        correlations={pair: draw(st.floats(-1, 1) | st.sampled_from([0.5, 0.8, 0.95])) for pair in pairs},
    )


@st.composite
def accounts(draw: st.DrawFn) -> PortfolioState:
    """Accounts with up to two positions, of either sign, that may be deep in any trouble."""
    held = tuple(
        Holding(
            symbol,
            draw(decimals("-20", "20", 1)) or Decimal(1),
            Decimal(100),
            draw(decimals("80", "120")),
            draw(st.none() | decimals("70", "130")),
        )
        for symbol in draw(st.lists(st.sampled_from(SYMBOLS), max_size=2, unique=True))
    )
    account = portfolio(cash=draw(decimals("-100", "20000")), holdings=held)
    return replace(
        account,
        peak_equity=max(account.equity, account.equity * draw(decimals("1", "1.3"))),
        day_start_equity=account.equity * draw(decimals("0.9", "1.06")),
        day_opened_equity=account.equity + draw(decimals("-300", "300")),
        day_flow=draw(decimals("-50", "50")),
        day_volume=draw(decimals("0", "600")),
        last_loss_risk=draw(st.none() | decimals("1", "200")),
        drawdown_locked=draw(st.booleans()),
        unresolved_symbols=frozenset(draw(st.sets(st.sampled_from(SYMBOLS), max_size=1))),
    )


@st.composite
def limit_sets(draw: st.DrawFn, *, roomy: bool) -> RiskLimits:
    """Limits within the hard ceilings; `roomy` ones leave those of money and of all positions mostly out of the way."""
    half = draw(decimals("0.02", "0.10"))
    document = LIMITS.model_dump()
    regime = {"minimum_confidence": draw(st.floats(0.5, 0.9)), "maximum_leverage": draw(decimals("1", "5", 1))}
    tight = st.just(1) if roomy else st.sampled_from([1, 1, 1, 100])
    document.update(
        risk_per_trade=draw(decimals("0.001", "0.02", 3)),
        exposure_per_asset=draw(decimals("0.05", "0.30")),
        total_exposure=draw(decimals("0.05", "0.60")),
        leverage_live=draw(decimals("1", "2", 1)),
        minimum_reward_to_risk=draw(decimals("1.5", "2", 1)),
        short_selling=draw(st.booleans()),
        money={
            "max_order_size": draw(decimals("2000", "9000")) / draw(tight),
            "max_daily_volume": draw(decimals("2000", "9000")) / draw(tight),
            "max_open_positions": draw(st.integers(1, 4)),
            "max_daily_loss": draw(decimals("400", "900")) / draw(tight),
            "max_position_size": draw(decimals("0.1", "0.3")) / draw(tight),
            "max_portfolio_volatility": draw(st.floats(0.2, 1)) / draw(tight),
        },
        portfolio={
            "maximum_heat": draw(decimals("0.02", "0.06")) / draw(tight),
            "correlated_from": draw(st.floats(0.3, 1)),
        },
        drawdown_ladder={"half_size": half, "pause": half + Decimal("0.05"), "lock": half + Decimal("0.1")},
        daily_loss={"warn": draw(decimals("0.01", "0.03")), "halt": draw(decimals("0.03", "0.05"))},
        regimes=dict.fromkeys(Regime, regime),
    )
    document["breakers"]["half_open"]["size_factor"] = draw(decimals("0.1", "0.9", 1))
    document["breakers"]["volatility"]["reduce_from"] = draw(st.floats(0.5, 0.98))
    document["breakers"]["volatility"]["size_factor"] = draw(decimals("0.1", "0.9", 1))
    return RiskLimits.model_validate(document)


@st.composite
def wild_worlds(draw: st.DrawFn) -> World:
    """Anything against anything: most of it is refused."""
    states = st.sampled_from(BreakerState)
    return World(
        asked=draw(proposals),
        account=draw(accounts()),
        limits=draw(limit_sets(roomy=False)),
        breakers={name: Breaker(name, draw(states), AT, "", 1) for name in BreakerName},
        market=draw(st.none() | markets(whole=False)),
        fee=draw(fees),
        live=draw(st.booleans()),
        mode=draw(st.sampled_from(TradingMode)),
    )


@st.composite
def fair_worlds(draw: st.DrawFn) -> World:
    """Proposals and accounts in order, of every size: most of them pass, and many are cut."""
    asked = draw(proposals)
    sign, distance = asked.direction.sign, draw(decimals("0.01", "16"))
    asked = replace(
        asked,
        symbol="BTC/USDT",
        kind=draw(st.sampled_from([ProposalKind.OPEN] * 4 + [ProposalKind.INCREASE])),
        confidence=0.95,
        stop_loss=asked.entry_price - sign * distance,
        take_profit=asked.entry_price + sign * distance * 3,
    )
    held = draw(st.none() | st.builds(_held, st.sampled_from(["1", "5.5", "-2"]), st.sampled_from(["90", "110.5"])))
    if asked.kind is ProposalKind.INCREASE:  # of a winning position, which may be stopped further away
        own = "1" if sign > 0 else "-1"
        stop = str(asked.entry_price - sign * draw(st.sampled_from([Decimal(1), Decimal("1.2")])) * distance)
        winning = "101" if sign > 0 else "99"
        held = holding("BTC/USDT", own, mark=winning, stop=stop if Decimal(stop) > 0 else None)
    account = portfolio(cash=draw(decimals("2000", "20000")), holdings=() if held is None else (held,))
    account = replace(
        account,
        peak_equity=account.equity * draw(decimals("1", "1.07")),
        day_start_equity=account.equity * draw(decimals("0.97", "1.02")),
        day_opened_equity=account.equity + draw(decimals("-100", "100")),
        day_volume=draw(decimals("0", "900")),
        last_loss_risk=draw(st.none() | decimals("1", "200")),
    )
    states = st.sampled_from([*[BreakerState.CLOSED] * 7, BreakerState.HALF_OPEN])
    return World(
        asked=asked,
        account=account,
        limits=draw(limit_sets(roomy=True)).model_copy(update={"short_selling": True}),
        breakers={name: Breaker(name, draw(states), AT, "", 1) for name in BreakerName},
        market=draw(markets(whole=True)),
        fee=draw(fees),
        live=draw(st.booleans()),
        mode=TradingMode.ACTIVE,
    )


def _held(quantity: str, mark: str) -> Holding:
    """A position in another symbol, with its stop a little away."""
    away = Decimal(2) if Decimal(quantity) > 0 else Decimal(-2)
    return holding("ETH/USDT", quantity, mark, stop=str(Decimal(mark) - away))


FACTORS = 18
factors = st.lists(st.sampled_from([Decimal("0.5"), Decimal("0.9"), Decimal(1)]), min_size=FACTORS, max_size=FACTORS)


def stricter(loose: RiskLimits, by: list[Decimal]) -> RiskLimits:
    """Limits of which each is as strict or stricter, by a factor of its own."""
    document, left = loose.model_dump(), list(by)
    for name in ("risk_per_trade", "exposure_per_asset", "total_exposure"):
        document[name] *= left.pop()
    for name in ("max_order_size", "max_daily_volume", "max_daily_loss", "max_position_size"):
        document["money"][name] *= left.pop()
    document["money"]["max_open_positions"] = max(1, int(document["money"]["max_open_positions"] * left.pop()))
    document["money"]["max_portfolio_volatility"] *= float(left.pop())
    document["portfolio"]["maximum_heat"] *= left.pop()
    document["portfolio"]["correlated_from"] *= float(left.pop())
    document["breakers"]["half_open"]["size_factor"] *= left.pop()
    volatility, factor = document["breakers"]["volatility"], left.pop()
    volatility["size_factor"] *= factor
    volatility["reduce_from"] *= float(factor)
    document["daily_loss"]["halt"] *= left.pop()
    factor = left.pop()
    document["drawdown_ladder"] = {step: factor * at for step, at in document["drawdown_ladder"].items()}
    document["minimum_reward_to_risk"] /= left.pop()
    document["leverage_live"] = max(Decimal(1), left.pop() * loose.leverage_live)
    factor = left.pop()
    for regime in document["regimes"].values():
        regime["maximum_leverage"] = max(Decimal(1), factor * regime["maximum_leverage"])
    assert not left
    return RiskLimits.model_validate(document)


def broken(outcome: Proposal, world: World) -> list[str]:
    """The limits that `outcome` breaks in `world`, computed from the requirements and in fractions."""
    account, limits, market = world.account, world.limits, world.market
    assert outcome.quantity is not None
    assert outcome.stop_loss is not None
    assert outcome.take_profit is not None
    assert market is not None
    quantity, entry, sign = Fraction(outcome.quantity), Fraction(outcome.entry_price), outcome.direction.sign
    increases = outcome.kind is ProposalKind.INCREASE
    risk = sign * (entry - Fraction(outcome.stop_loss))
    reward = sign * (Fraction(outcome.take_profit) - entry)
    held = {item.symbol: Fraction(item.quantity) * Fraction(item.mark_price) for item in account.holdings}
    mine = next((item for item in account.holdings if item.symbol == outcome.symbol), None)
    if mine is not None and mine.stop_loss is not None:
        risk = max(risk, sign * (entry - Fraction(mine.stop_loss)))
    equity = Fraction(account.cash) + sum(held.values())
    regime, money = limits.regimes[outcome.regime], limits.money
    notional = quantity * entry
    taken = abs(held.get(outcome.symbol, Fraction(0)))
    alike = Fraction(0)
    for symbol, worth in held.items():
        together = _together(market, outcome.symbol, symbol)
        same_bet = abs(together) if worth * sign < 0 else together
        if symbol != outcome.symbol and same_bet >= limits.portfolio.correlated_from:
            alike += abs(worth)
    peak, start = Fraction(account.peak_equity), Fraction(account.day_start_equity)
    owed = sum(-worth for worth in held.values() if worth < 0)
    after = dict(held)
    after[outcome.symbol] = held.get(outcome.symbol, Fraction(0)) + sign * notional
    kept = {
        "quantity": quantity > 0 and quantity % Fraction("0.0001") == 0 and notional >= 5,
        "stop": risk > 0 and outcome.stop_loss > 0,
        "reward to risk": reward >= Fraction(limits.minimum_reward_to_risk) * risk,
        "risk per trade": quantity * risk <= Fraction(limits.risk_per_trade) * equity <= Fraction("0.02") * equity,
        "exposure": notional + taken <= Fraction(limits.exposure_per_asset) * equity,
        "correlated": not alike or notional + taken + alike <= Fraction(limits.exposure_per_asset) * equity,
        "total exposure": notional + sum(map(abs, held.values())) <= Fraction(limits.total_exposure) * equity,
        "order size": notional <= Fraction(money.max_order_size),
        "daily volume": notional + Fraction(account.day_volume) <= Fraction(money.max_daily_volume),
        "position size": notional + taken <= Fraction(money.max_position_size) * equity,
        "open positions": len(after) <= money.max_open_positions or mine is not None,
        "daily loss in money": Fraction(account.day_opened_equity) + Fraction(account.day_flow) - equity
        < Fraction(money.max_daily_loss),
        "heat": _heat(account) + quantity * risk <= Fraction(limits.portfolio.maximum_heat) * equity,
        "volatility": _variance(after, equity, market) <= Fraction(money.max_portfolio_volatility) ** 2,
        "cash": notional / Fraction(outcome.leverage) + notional * Fraction(world.fee) <= Fraction(account.cash) - owed,
        "leverage": outcome.leverage <= min(5, regime.maximum_leverage, limits.leverage_live if world.live else 5),
        "confidence": outcome.confidence is None or outcome.confidence >= regime.minimum_confidence,
        "short": sign > 0 or limits.short_selling,
        "position": mine is None
        if not increases
        else mine is not None
        and mine.quantity * sign > 0
        and mine.stop_loss is not None
        and (mine.mark_price - mine.average_entry) * sign >= 0,
        "resolved": outcome.symbol not in account.unresolved_symbols,
        "drawdown": not account.drawdown_locked and peak - equity <= Fraction(limits.drawdown_ladder.pause) * peak,
        "daily loss": start - equity < Fraction(limits.daily_loss.halt) * start or equity >= start,
        "losses in a row": account.losses_in_a_row <= limits.breakers.consecutive_losses.threshold,
        "martingale": outcome.engine_sized
        or account.last_loss_risk is None
        or quantity * risk <= Fraction(account.last_loss_risk),
        "breakers": all(breaker.state is not BreakerState.OPEN for breaker in world.breakers.values()),
        "mode": world.mode is TradingMode.ACTIVE,
    }
    return [name for name, holds in kept.items() if not holds]


def _together(market: MarketState, one: str, other: str) -> float:
    return 1.0 if one == other else market.correlations[min(one, other), max(one, other)]


def _variance(worths: dict[str, Fraction], equity: Fraction, market: MarketState) -> Fraction:
    swings = {symbol: worth / equity * Fraction(market.volatilities[symbol]) for symbol, worth in worths.items()}
    return sum(
        (swings[one] * swings[other] * Fraction(_together(market, one, other)) for one in swings for other in swings),
        Fraction(0),
    )


def _heat(account: PortfolioState) -> Fraction:
    heat = Fraction(0)
    for item in account.holdings:
        quantity, mark = Fraction(item.quantity), Fraction(item.mark_price)
        lost = abs(quantity * mark) if item.stop_loss is None else quantity * (mark - Fraction(item.stop_loss))
        heat += max(Fraction(0), lost)
    return heat


@settings(max_examples=200, deadline=None)
@given(wild_worlds() | fair_worlds())
def test_what_is_allowed_breaks_no_limit(world: World) -> None:
    """R1-R5: whatever goes in, what comes out is within every limit and asks for no more than was asked."""
    asked, verdict = world.asked, world.verdict()
    if not verdict.allows:
        assert verdict.proposal == asked
        return
    assert broken(verdict.proposal, world) == []
    assert asked.quantity is None or verdict.proposal.quantity <= asked.quantity
    unchanged = {"quantity": asked.quantity, "leverage": asked.leverage, "engine_sized": asked.engine_sized}
    assert replace(verdict.proposal, **unchanged) == asked
    changed = verdict.proposal.leverage != asked.leverage or asked.quantity not in {None, verdict.proposal.quantity}
    assert (verdict.status is VerdictStatus.MODIFIED) >= changed


@settings(max_examples=100, deadline=None)
@given(fair_worlds())
def test_every_clamp_is_told(world: World) -> None:
    """R1: a quantity that was lowered without a reason that says from what to what cannot be followed by anybody."""
    verdict = world.verdict()
    assume(verdict.allows and verdict.status is VerdictStatus.MODIFIED)
    caps = [Decimal(reason.context["to"]) for reason in verdict.reasons if "to" in reason.context]
    noted = {"DRAWDOWN_HALF_SIZE", "BREAKER_HALF_OPEN", "VOLATILITY_REDUCED"}
    assert caps or codes(verdict) & noted
    sizes = [cap for cap in caps if cap == verdict.proposal.quantity]
    assert sizes or verdict.proposal.leverage != world.asked.leverage or codes(verdict) & noted


@settings(max_examples=100, deadline=None)
@given(fair_worlds())
def test_half_size_halves(world: World) -> None:
    """R5, R6: on the ladder's first step, on trial and in a volatile market never more than its fraction."""
    assert world.market is not None
    whole = replace(world, asked=replace(world.asked, quantity=None))
    closed = {name: replace(breaker, state=BreakerState.CLOSED) for name, breaker in world.breakers.items()}
    calm = replace(world.market, percentiles=dict.fromkeys(SYMBOLS, 0.1))
    high = replace(world.account, peak_equity=world.account.equity)
    free = whole.verdict(account=high, breakers=closed, market=calm)
    verdict = whole.verdict()
    assume(free.allows and verdict.allows)
    share, limits = Fraction(1), world.limits
    if Fraction(world.account.drawdown) > Fraction(limits.drawdown_ladder.half_size):
        share /= 2
    if any(breaker.state is BreakerState.HALF_OPEN for breaker in world.breakers.values()):
        share *= Fraction(limits.breakers.half_open.size_factor)
    if world.market.percentiles[world.asked.symbol] >= limits.breakers.volatility.reduce_from:
        share *= Fraction(limits.breakers.volatility.size_factor)
    assert free.proposal.quantity is not None
    assert verdict.proposal.quantity is not None
    step = Fraction(INSTRUMENT.quantity_step)
    assert Fraction(verdict.proposal.quantity) <= share * (Fraction(free.proposal.quantity) + step)


@settings(max_examples=150, deadline=None)
@given(fair_worlds(), factors)
def test_a_stricter_limit_never_allows_more(world: World, by: list[Decimal]) -> None:
    """R2, R4: a person who lowers a limit must never get a larger position for it."""
    strict = world.verdict(limits=stricter(world.limits, by))
    assume(strict.allows)
    loose = world.verdict()
    assert loose.allows
    assert loose.proposal.quantity >= strict.proposal.quantity
    assert loose.proposal.leverage >= strict.proposal.leverage


@settings(max_examples=100, deadline=None)
@given(wild_worlds() | fair_worlds(), st.permutations(engine.RULES))
def test_the_order_of_the_rules_decides_nothing(world: World, rules: list[Rule]) -> None:
    """R1: a rule that hides behind another one is a rule that somebody's refactoring turns off."""
    verdict = world.verdict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "RULES", tuple(rules))
        assert world.verdict() == verdict


@settings(max_examples=100, deadline=None)
@given(fair_worlds())
def test_an_answer_checked_again_passes_unchanged(world: World) -> None:
    """R1: the order path asks again after a lost order; it must get what it was promised."""
    verdict = world.verdict()
    assume(verdict.allows)
    again = world.verdict(asked=verdict.proposal)
    assert (again.status, again.proposal) == (VerdictStatus.APPROVED, verdict.proposal)


@settings(max_examples=150, deadline=None)
@given(wild_worlds(), st.none() | decimals("-1", "40", 5))
def test_risk_can_be_reduced_whatever_stands_against_new_risk(world: World, part: Decimal | None) -> None:
    """R6: a position can be closed, and all of it, except in a halted account; a part of it is never more than it."""
    verdict = world.verdict(asked=replace(world.asked, kind=ProposalKind.CLOSE))
    taken = world.verdict(asked=replace(world.asked, kind=ProposalKind.REDUCE, quantity=part))
    held = world.account.holding(world.asked.symbol)
    if world.mode is TradingMode.HALTED:
        assert codes(verdict) == codes(taken) == {"MODE_HALTED"}
        return
    if held is None:
        assert codes(verdict) == codes(taken) == {"NOTHING_TO_CLOSE"}
        return
    assert (verdict.allows, verdict.proposal.quantity) == (True, abs(held.quantity))
    if taken.allows:
        assert held.quantity * world.asked.direction.sign > 0
        assert taken.proposal.quantity is not None
        assert 0 < taken.proposal.quantity <= min(abs(held.quantity), part if part is not None else abs(held.quantity))


@settings(max_examples=100, deadline=None)
@given(fair_worlds())
def test_fair_worlds_are_not_refused_out_of_hand(world: World) -> None:
    """R1: laws over worlds in which everything is refused would hold for an engine that refuses everything."""
    about_size = {"NO_EXPOSURE_LEFT", "BELOW_MINIMUM_ORDER", "DAILY_VOLUME_USED_UP", "TOO_MANY_POSITIONS"}
    about_account = {"DRAWDOWN_PAUSED", "DRAWDOWN_LOCKED", "DAILY_LOSS_HALTED"}
    of_increase = {"STOP_LOSS_MISSING"}
    verdict = world.verdict()
    assert verdict.allows or codes(verdict) & (about_size | about_account | of_increase)


def test_most_fair_worlds_are_let_through() -> None:
    """R1: the laws above are about what is allowed, so enough has to be."""
    allowed: list[bool] = []

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(fair_worlds())
    def count(world: World) -> None:
        allowed.append(world.verdict().allows)

    count()
    assert sum(allowed) > len(allowed) / 3
