"""Settings: wrong ones are refused with a line that says where, and ceilings hold."""

from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.settings import CONFIG, Environment, Settings, load_settings

pytestmark = pytest.mark.unit


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of config/ that a test may spoil."""
    return Path(copytree(CONFIG, tmp_path / "config"))


def spoil(config: Path, name: str, **changes: Any) -> Settings:
    """Load the settings after changing keys of one file; a dotted key goes into a section."""
    path = config / f"{name}.yaml"
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        section, _, leaf = key.rpartition("__")
        target = document
        for part in filter(None, section.split("__")):
            target = target[part]
        target[leaf] = value
    path.write_text(yaml.safe_dump(document))
    return load_settings(Environment(profile="demo"), config)


@pytest.mark.parametrize("profile", ["demo", "paper"])
def test_every_shipped_profile_loads(profile: str) -> None:
    """A profile that ships must not be the first thing a stranger has to mend."""
    assert load_settings(Environment(profile=profile)).profile.paper.starting_cash == Decimal(2100)


@pytest.mark.parametrize("name", ["demo", "risk", "models"])
def test_an_unknown_key_fails(config: Path, name: str) -> None:
    """DESIGN §1: a limit written under a misspelt key would silently not hold."""
    with pytest.raises(SettingsError, match=rf"{name}.yaml is wrong: max_order_szie"):
        spoil(config, name, max_order_szie=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("risk_per_trade", "0.021"),
        ("exposure_per_asset", "0.31"),
        ("total_exposure", "0.61"),
        ("leverage_live", "3"),
        ("minimum_reward_to_risk", "1.4"),
        ("regimes__trending_bull__maximum_leverage", "6"),
        ("drawdown_ladder__lock", "0.21"),
        ("daily_loss__halt", "0.06"),
        ("breakers__rapid_loss__threshold", "0.03"),
        ("breakers__consecutive_losses__threshold", 6),
        ("breakers__volatility__halt_over", 1),  # no percentile lies over it: the breaker would never open
        ("heartbeat_seconds", 31),
    ],
)
def test_no_configuration_passes_a_hard_ceiling(config: Path, key: str, value: object) -> None:
    """R2, R5, R6: a typing error in a file must not be able to raise a ceiling."""
    with pytest.raises(SettingsError, match=key.replace("__", r"\.")):
        spoil(config, "risk", **{key: value})


def test_every_regime_needs_limits(config: Path) -> None:
    """R3: a regime without limits would be a regime without a minimum confidence."""
    with pytest.raises(SettingsError, match="limits are missing for choppy"):
        spoil(
            config,
            "risk",
            regimes={
                k: v for k, v in yaml.safe_load((config / "risk.yaml").read_text())["regimes"].items() if k != "choppy"
            },
        )


def test_symbols_of_two_quote_currencies_are_refused(config: Path) -> None:
    """X4: dollars and tethers in one equity figure would add up to nothing true."""
    with pytest.raises(SettingsError, match="one quote currency"):
        spoil(config, "demo", symbols=["BTC/USDT", "ETH/USD"])


def test_limits_in_dollars_are_not_read_as_bitcoins(config: Path) -> None:
    """R4: MAX_ORDER_SIZE_USD: 100 would let an account that is kept in bitcoin order for 100 of them."""
    with pytest.raises(SettingsError, match=r"limits of risk\.yaml are in US dollars"):
        spoil(config, "demo", symbols=["ETH/BTC", "XRP/BTC"], rebalancing=None)
    for quote in ("USD", "USDC"):
        spoil(config, "demo", symbols=[f"BTC/{quote}"], rebalancing=None)


def test_a_missing_profile_names_those_that_exist(config: Path) -> None:
    """A typing error in TRIPLEGAIN_PROFILE must say what could have been meant."""
    with pytest.raises(SettingsError, match="demo, live, paper"):
        load_settings(Environment(profile="papre"), config)


def test_the_config_hash_knows_results_from_addresses(config: Path, tmp_path: Path) -> None:
    """A replay must be the same replay on another port, and another one under other limits."""
    original = load_settings(Environment(profile="demo"), config)
    elsewhere = load_settings(Environment(profile="demo", home=tmp_path, webserver_port=4000), config)
    assert elsewhere.config_hash == original.config_hash
    assert spoil(config, "risk", risk_per_trade="0.005").config_hash != original.config_hash


@pytest.mark.parametrize(
    "weights",
    [
        {"1h": 1.0},
        {"1m": 0.2, "5m": 0.2, "15m": 0.2, "1h": 0.2, "4h": 0.2, "1d": 0.2},
        {"1m": -0.2, "5m": 0.2, "15m": 0.2, "1h": 0.2, "4h": 0.2, "1d": 0.4},
    ],
)
def test_weights_that_are_no_weights_are_refused(config: Path, weights: dict[str, float]) -> None:
    """I2: a timeframe without a weight would be computed, stored and never heard."""
    with pytest.raises(SettingsError, match=r"market.yaml is wrong: timeframe_weights"):
        spoil(config, "market", timeframe_weights=weights)


def test_a_venue_that_is_not_described_is_refused(config: Path) -> None:
    """M1: a venue whose limits nobody stated would be asked without any."""
    with pytest.raises(SettingsError, match=r"names the venue 'bitstamp', which venues.yaml does not describe"):
        spoil(config, "demo", backup_venue="bitstamp")
