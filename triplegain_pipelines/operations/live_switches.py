"""The switches of live trading: real money moves only while every one of them is on. Pure, over facts that were read.

Whatever is not known is off.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from triplegain_pipelines.domain.risk import BreakerName, BreakerState, BreakerStates, TradingMode
from triplegain_pipelines.settings import Deployment
from triplegain_pipelines.settings.profile import SIMULATED_VENUE, LiveSettings

KEY_CHECK_AGE = timedelta(hours=24)
CLOCK_AGE = timedelta(minutes=15)  # three comparisons of the stream service

_SKEW = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Switch:
    """One condition of live trading: how it stands, and what a person does to turn it on."""

    name: str
    on: bool
    detail: str
    turn_on: str

    def document(self) -> dict[str, object]:
        """The form that is stored and printed as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What is set by hand: environment variables, the profile and the models."""

    paper_trading: bool
    live_trading_enabled: bool
    deployment: Deployment
    named_account: str
    named_venue: str
    profile: str
    account: str
    venue: str
    live: LiveSettings | None
    baseline_seats: bool
    models_called: bool


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The trade key of production in force: why it may not be used, or None, and when the venue was asked last."""

    fingerprint: str
    refused: str | None
    checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ValidationFacts:
    """The newest validation report of the account that validates, and what is true of it.

    `counts_for_live` also asks that its market was real, that it was no replay, and that no baseline sat in a seat.
    `changed` names what of the configuration is not as it was validated, with a word for each.
    """

    verdict: str
    counts_for_live: bool
    ends_at: datetime
    baseline_calls: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What the database knows. `stopped` says why an emergency stop is in force, None that none is.

    `halts` are the differences of the last reconciliation that a person has to look at.
    """

    at: datetime
    key: KeyFacts | None
    validation: ValidationFacts | None
    reconciled_at: datetime | None
    halts: int
    clock_compared: datetime | None
    clock_trusted: bool
    stopped: str | None
    mode: TradingMode
    breakers: BreakerStates


def set_switches(facts: SetFacts) -> list[Switch]:
    """The switches that are set by hand. Without all of them no desk for real money is opened."""
    live, venue = facts.live is not None, facts.venue
    return [
        Switch(
            "paper trading off",
            not facts.paper_trading,
            f"PAPER_TRADING={_word(on=facts.paper_trading)}",
            "set PAPER_TRADING=false",
        ),
        Switch(
            "live trading enabled",
            facts.live_trading_enabled,
            f"LIVE_TRADING_ENABLED={_word(on=facts.live_trading_enabled)}",
            "set LIVE_TRADING_ENABLED=true",
        ),
        Switch(
            "production",
            facts.deployment is Deployment.PRODUCTION,
            f"ENVIRONMENT={facts.deployment}",
            "set ENVIRONMENT=production",
        ),
        Switch(
            "live profile",
            live,
            f"the profile {facts.profile} has {'a' if live else 'no'} section 'live'",
            "set TRIPLEGAIN_PROFILE to a profile with a section 'live', such as config/live.yaml",
        ),
        Switch(
            "account named",
            live and facts.named_account == facts.account,
            f"LIVE_TRADING_ACCOUNT={facts.named_account or '(not set)'}, the profile's account is {facts.account}",
            f"set LIVE_TRADING_ACCOUNT={facts.account}, if that is the account that is to trade with real money",
        ),
        Switch(
            "venue named",
            live and facts.named_venue == venue,
            f"LIVE_TRADING_VENUE={facts.named_venue or '(not set)'}, the profile's venue is {venue}",
            f"set LIVE_TRADING_VENUE={venue}, if that is where real money is to be traded",
        ),
        Switch(
            "real market",
            venue != SIMULATED_VENUE,
            "the market is simulated" if venue == SIMULATED_VENUE else f"the market is that of {venue}",
            "choose a profile with a real venue",
        ),
    ]


def switches(set_by_hand: SetFacts, stored: StoredFacts) -> list[Switch]:
    """Every switch of live trading as it stands."""
    rest: tuple[Callable[[SetFacts, StoredFacts], Switch], ...] = (
        _six_models,
        _trade_key,
        _validation,
        _configuration,
        _reconciliation,
        _clock,
        _emergency_stop,
        _mode,
        _breakers,
    )
    return [*set_switches(set_by_hand), *(switch(set_by_hand, stored) for switch in rest)]


def missing(found: list[Switch]) -> list[Switch]:
    """The switches that are off."""
    return [switch for switch in found if not switch.on]


def in_words(found: list[Switch]) -> str:
    """What is off and how to turn it on, in one line."""
    return "; ".join(f"{switch.name}: {switch.detail} ({switch.turn_on})" for switch in missing(found))


def _six_models(facts: SetFacts, stored: StoredFacts) -> Switch:
    validated = stored.validation.baseline_calls if stored.validation else 0
    if facts.baseline_seats:
        detail = "baselines sit in the six seats"
    elif not facts.models_called:
        detail = "models are turned off, so every seat abstains"
    elif validated:
        detail = f"baselines answered {validated:,} of the calls of the validation"
    else:
        detail = "six models sit in the seats"
    on = not facts.baseline_seats and facts.models_called and not validated
    return Switch(
        "six models, no baselines",
        on,
        detail,
        "set 'offline: false' in config/models.yaml, LLM_ENABLED=true and the vendors' keys, then validate again",
    )


def _trade_key(facts: SetFacts, stored: StoredFacts) -> Switch:
    key, name = stored.key, f"{facts.venue} trade"
    turn_on = f"'triplegain credentials check {name} --environment production'"
    if key is None:
        detail = f"there is no trade key of {facts.venue} for production"
        turn_on = f"'triplegain credentials add {name} --environment production'"
    elif key.refused:
        detail = f"the key {key.fingerprint} may not be used: {key.refused}"
    else:
        detail = f"the key {key.fingerprint}, checked {_when(key.checked_at)}"
    on = key is not None and key.refused is None and _fresh(key.checked_at, stored.at, KEY_CHECK_AGE)
    return Switch("checked trade key", on, detail, turn_on)


def _validation(facts: SetFacts, stored: StoredFacts) -> Switch:
    found, live = stored.validation, facts.live
    account = live.validated_by if live else "(no section 'live')"
    if found is None:
        detail = f"the account {account} has no validation report of at least 14 days"
    else:
        real = "" if found.counts_for_live else ", and does not count for live trading: not everything was real"
        detail = f"{found.verdict}{real if found.verdict == 'PASSED' else ''}, up to {_when(found.ends_at)}"
    on = (
        live is not None
        and found is not None
        and found.verdict == "PASSED"
        and found.counts_for_live
        and _fresh(found.ends_at, stored.at, timedelta(days=live.validation_days))
    )
    days = f"{live.validation_days} days old at most" if live else "not old"
    return Switch(
        "validation passed",
        on,
        detail,
        f"trade the account {account} on paper until 'triplegain report --account {account} --hours 336' says PASSED; "
        f"its end may be {days}",
    )


def _configuration(_facts: SetFacts, stored: StoredFacts) -> Switch:
    found = stored.validation
    if found is None:
        detail = "nothing was validated"
    else:
        detail = f"not as validated: {', '.join(found.changed)}" if found.changed else "as it was validated"
    return Switch(
        "configuration validated",
        found is not None and not found.changed,
        detail,
        "restore the configuration that was validated, or validate this one",
    )


def _reconciliation(_facts: SetFacts, stored: StoredFacts) -> Switch:
    if stored.reconciled_at is None:
        detail = "books and venue were never compared; that is done before the first order"
    else:
        detail = f"{stored.halts} differences to be looked at, {_when(stored.reconciled_at)}"
    return Switch(
        "books reconciled",
        stored.reconciled_at is None or not stored.halts,
        detail,
        "look at the differences, mend them at the venue or in the books, and let them be compared again",
    )


def _clock(_facts: SetFacts, stored: StoredFacts) -> Switch:
    compared, trusted = stored.clock_compared, stored.clock_trusted
    detail = f"compared with the venue's {_when(compared)}" + ("" if trusted else ", and they differ by too much")
    return Switch(
        "clock trusted",
        trusted and _fresh(compared, stored.at, CLOCK_AGE),
        detail,
        "let 'triplegain up' or 'triplegain stream' run, which compare the clocks, and have NTP set this machine's",
    )


def _emergency_stop(_facts: SetFacts, stored: StoredFacts) -> Switch:
    return Switch(
        "no emergency stop",
        stored.stopped is None,
        stored.stopped or "none is in force",
        "release it when its cause is gone: 'triplegain stop --release', or delete the file EMERGENCY_STOP",
    )


def _mode(_facts: SetFacts, stored: StoredFacts) -> Switch:
    return Switch(
        "mode ACTIVE",
        stored.mode is TradingMode.ACTIVE,
        f"the account is {stored.mode}",
        "find out why it was changed, and set it to ACTIVE",
    )


def _breakers(_facts: SetFacts, stored: StoredFacts) -> Switch:
    absent = [name.value for name in BreakerName if name not in stored.breakers]
    opened = [breaker.name.value for breaker in stored.breakers.values() if breaker.state is BreakerState.OPEN]
    parts: Mapping[str, list[str]] = {"without a state": absent, "open": opened}
    detail = "; ".join(f"{word}: {', '.join(names)}" for word, names in parts.items() if names)
    return Switch(
        "breakers closed",
        not absent and not opened,
        detail or "all are there and none is open",
        "open the account if they have no state; 'triplegain breaker clear NAME --why …' when the cause is gone",
    )


def _fresh(moment: datetime | None, at: datetime, age: timedelta) -> bool:
    """Whether it lies at most `age` back. What lies ahead was written by a clock that is wrong."""
    return moment is not None and -_SKEW <= at - moment <= age


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _word(*, on: bool) -> str:
    return str(on).lower()
