"""The switches of live trading: each has to be on, what is not known is off, and each says how to turn it on."""

import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, TradingMode
from triplegain_pipelines.operations.live import set_facts
from triplegain_pipelines.operations.live_switches import (
    KeyFacts,
    SetFacts,
    StoredFacts,
    ValidationFacts,
    in_words,
    missing,
    set_switches,
    switches,
)
from triplegain_pipelines.settings import Deployment, Environment, load_settings
from triplegain_pipelines.settings.profile import LiveSettings

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LIVE = LiveSettings(
    fee_bps=Decimal(40),
    expiry_seconds=5,
    stop_limit_bps=Decimal(200),
    arming_hours=24,
    validation_days=7,
    validated_by="paper",
    reconcile_minutes=5,
)
SET = SetFacts(
    paper_trading=False,
    live_trading_enabled=True,
    deployment=Deployment.PRODUCTION,
    named_account="live",
    named_venue="kraken",
    profile="live",
    account="live",
    venue="kraken",
    live=LIVE,
    baseline_seats=False,
    models_called=True,
)
BREAKERS = {name: Breaker(name, BreakerState.CLOSED, NOW, ReasonCode.WITHIN_LIMITS.value, 0) for name in BreakerName}
KEY = KeyFacts("0123456789ab", None, NOW - timedelta(hours=1))
VALIDATION = ValidationFacts("PASSED", True, NOW - timedelta(days=1), 0, ())  # noqa: FBT003
STORED = StoredFacts(
    at=NOW,
    key=KEY,
    validation=VALIDATION,
    reconciled_at=NOW - timedelta(minutes=1),
    halts=0,
    clock_compared=NOW - timedelta(minutes=1),
    clock_trusted=True,
    stopped=None,
    mode=TradingMode.ACTIVE,
    breakers=BREAKERS,
)


def off(set_by_hand: SetFacts = SET, stored: StoredFacts = STORED) -> set[str]:
    return {switch.name for switch in missing(switches(set_by_hand, stored))}


def test_with_every_fact_right_every_switch_is_on() -> None:
    """X7: a switch that can never be on would be turned off in the code one day."""
    assert off() == set()
    assert in_words(switches(SET, STORED)) == ""


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"paper_trading": True}, {"paper trading off"}),
        ({"live_trading_enabled": False}, {"live trading enabled"}),
        ({"deployment": Deployment.STAGING}, {"production"}),
        ({"deployment": Deployment.DEVELOPMENT}, {"production"}),
        ({"live": None}, {"live profile", "account named", "venue named", "validation passed"}),
        ({"named_account": ""}, {"account named"}),
        ({"named_account": "Live"}, {"account named"}),
        ({"named_venue": ""}, {"venue named"}),
        ({"named_venue": "binance"}, {"venue named"}),
        ({"venue": "simulated", "named_venue": "simulated"}, {"real market"}),
        ({"baseline_seats": True}, {"six models, no baselines"}),
        ({"models_called": False}, {"six models, no baselines"}),
    ],
)
def test_each_thing_set_by_hand_turns_its_switch_off(changes: dict[str, Any], names: set[str]) -> None:
    """X7: one variable that is not set, or is set for another account or venue, has to be enough to keep money safe."""
    assert off(replace(SET, **changes)) == names


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"key": None}, {"checked trade key"}),
        ({"key": replace(KEY, refused="it can withdraw")}, {"checked trade key"}),
        ({"key": replace(KEY, checked_at=None)}, {"checked trade key"}),
        ({"key": replace(KEY, checked_at=NOW - timedelta(hours=24) - SECOND)}, {"checked trade key"}),
        ({"key": replace(KEY, checked_at=NOW + 2 * SECOND)}, {"checked trade key"}),
        ({"validation": None}, {"validation passed", "configuration validated"}),
        ({"validation": replace(VALIDATION, verdict="FAILED")}, {"validation passed"}),
        ({"validation": replace(VALIDATION, counts_for_live=False)}, {"validation passed"}),
        ({"validation": replace(VALIDATION, ends_at=NOW - timedelta(days=7) - SECOND)}, {"validation passed"}),
        ({"validation": replace(VALIDATION, ends_at=NOW + timedelta(days=1))}, {"validation passed"}),
        ({"validation": replace(VALIDATION, changed=("limits",))}, {"configuration validated"}),
        ({"validation": replace(VALIDATION, baseline_calls=1)}, {"six models, no baselines"}),
        ({"halts": 1}, {"books reconciled"}),
        ({"clock_compared": None}, {"clock trusted"}),
        ({"clock_compared": NOW - timedelta(minutes=15) - SECOND}, {"clock trusted"}),
        ({"clock_compared": NOW + 2 * SECOND}, {"clock trusted"}),
        ({"clock_trusted": False}, {"clock trusted"}),
        ({"stopped": "somebody stopped it"}, {"no emergency stop"}),
        ({"mode": TradingMode.REDUCING}, {"mode ACTIVE"}),
        ({"mode": TradingMode.HALTED}, {"mode ACTIVE"}),
        ({"breakers": {}}, {"breakers closed"}),
    ],
)
def test_each_thing_that_is_stored_turns_its_switch_off(changes: dict[str, Any], names: set[str]) -> None:
    """X7: a fact that is missing, too old, or from a clock that runs ahead counts as bad."""
    assert off(stored=replace(STORED, **changes)) == names


@pytest.mark.parametrize("name", list(BreakerName))
def test_a_breaker_that_is_open_or_has_no_state_keeps_live_off(name: BreakerName) -> None:
    """R6, X7: no breaker may be left out of the count."""
    assert off(
        stored=replace(STORED, breakers={**BREAKERS, name: replace(BREAKERS[name], state=BreakerState.OPEN)})
    ) == {"breakers closed"}
    rest = {other: breaker for other, breaker in BREAKERS.items() if other is not name}
    assert off(stored=replace(STORED, breakers=rest)) == {"breakers closed"}


def test_the_ages_at_their_limits_still_count() -> None:
    """X7: a limit of 24 hours that is one of 23 would ask for checks that nobody understands."""
    limits = replace(
        STORED,
        key=replace(KEY, checked_at=NOW - timedelta(hours=24)),
        validation=replace(VALIDATION, ends_at=NOW - timedelta(days=7)),
        clock_compared=NOW - timedelta(minutes=15),
    )
    assert off(stored=limits) == set()


def test_books_that_were_never_compared_do_not_keep_live_off() -> None:
    """X7: the comparison is made before the first order, by what the arming allows to start."""
    assert off(stored=replace(STORED, reconciled_at=None)) == set()


def test_six_switches_at_least_are_set_by_hand_and_each_says_how() -> None:
    """X7: six explicit switches; a person who meets one that is off must read what to do."""
    assert len(set_switches(SET)) >= 6
    found = switches(
        replace(SET, live=None, venue="simulated"), replace(STORED, key=None, validation=None, breakers={})
    )
    assert len({switch.name for switch in found}) == len(found)
    assert all(switch.detail and switch.turn_on for switch in found)
    for switch in missing(found):
        assert switch.name in in_words(found)
        assert switch.turn_on in in_words(found)


@pytest.mark.parametrize("profile", ["demo", "paper", "live"])
def test_as_shipped_every_profile_has_live_off(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """X7: everything defaults to paper, whatever profile is chosen."""
    for name in ("PAPER_TRADING", "LIVE_TRADING_ENABLED", "ENVIRONMENT", "LIVE_TRADING_ACCOUNT", "LIVE_TRADING_VENUE"):
        monkeypatch.delenv(name, raising=False)
    facts = set_facts(load_settings(Environment(profile=profile)))
    wanted = {"paper trading off", "live trading enabled", "production", "account named", "venue named"}
    assert wanted <= {switch.name for switch in missing(set_switches(facts))}
    assert facts.baseline_seats


def test_the_switches_are_read_from_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """X7: the variables that the requirement names are the ones that count, without any prefix."""
    variables = {
        "PAPER_TRADING": "false",
        "LIVE_TRADING_ENABLED": "true",
        "ENVIRONMENT": "production",
        "LIVE_TRADING_ACCOUNT": "live",
        "LIVE_TRADING_VENUE": "kraken",
        "TRIPLEGAIN_PROFILE": "live",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert missing(set_switches(set_facts(load_settings()))) == []
    monkeypatch.setenv("ENVIRONMENT", "prod")
    with pytest.raises(SettingsError, match=r"ENVIRONMENT.*'production'"):
        load_settings()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:pl@nted-pw@host:5432/db",
        "postgresql://user:pl/anted-pw@host:5432/db",
        "postgresql://user:pl#anted-pw@host:5432/db",
        "postgresql://user:pl%anted-pw@host:5432/db",
        "postgresql://user:12/planted-pw@host:5432/db",
        "postgres:/user:planted-pw@host/db",
        "host=localhost password=planted-pw",
    ],
)
def test_a_database_url_that_libpq_would_read_otherwise_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """X8: libpq's errors show the rest of a password with '@' or '%' in it as host, port or path."""
    monkeypatch.setenv("TRIPLEGAIN_DATABASE_URL", url)
    with pytest.raises(SettingsError, match=r"database_url: .* write the special characters") as caught:
        load_settings()
    assert "anted-pw" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:planted@127.0.0.1:1/triplegain",
        "postgresql://some%40one:p%40ss%2Fw-._~!$@db.example.org/triplegain?sslmode=require",
        "postgresql://postgres@[::1]:5432/x",
        "postgresql:///triplegain?host=/run/postgresql",
    ],
)
def test_a_usual_database_url_is_taken(url: str) -> None:
    """A rule against leaks must not turn away addresses that are right."""
    assert Environment(database_url=url).database_url == url
    assert "planted" not in repr(Environment(database_url=url))
