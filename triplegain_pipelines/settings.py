"""Settings: the YAML files of `config/` and the environment, as frozen objects. No other module reads either.

Every key is read and an unknown key fails. The environment can set `TRIPLEGAIN_HOME`, `TRIPLEGAIN_PROFILE`,
`TRIPLEGAIN_DATABASE_URL`, the ports of the services and the master switch `LLM_ENABLED`.
"""

from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.domain.market import split_symbol

PROJECT = Path(__file__).resolve().parent.parent
CONFIG = PROJECT / "config"
SIMULATED_VENUE = "simulated"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_SectionT = TypeVar("_SectionT", bound=_Section)


class Environment(BaseSettings):
    """What comes from environment variables."""

    model_config = SettingsConfigDict(env_prefix="TRIPLEGAIN_", extra="ignore", frozen=True)

    home: Path = PROJECT / ".triplegain"
    profile: str = "demo"
    database_url: str | None = None
    webserver_port: int = Field(default=3000, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    llm_enabled: bool = Field(default=True, validation_alias="LLM_ENABLED")


class DecisionSettings(_Section):
    """When decisions are made and how long they may be acted on."""

    interval_minutes: int = Field(ge=5, le=1440)
    grace_seconds: int = Field(ge=0, le=60)
    valid_minutes: int = Field(ge=1, le=60)

    @property
    def interval(self) -> timedelta:
        """Time between two decisions."""
        return timedelta(minutes=self.interval_minutes)

    @property
    def grace(self) -> timedelta:
        """How long after its close a candle may still be revised."""
        return timedelta(seconds=self.grace_seconds)

    @property
    def validity(self) -> timedelta:
        """How long a decision may be acted on."""
        return timedelta(minutes=self.valid_minutes)


class PaperSettings(_Section):
    """How the paper venue fills. Basis points; `fill_rate` is the share of orders filled in one piece."""

    starting_cash: Decimal = Field(gt=0)
    slippage_bps: Decimal = Field(ge=0, le=1000)
    fee_bps: Decimal = Field(ge=0, le=1000)
    fill_rate: float = Field(gt=0, le=1)
    seed: int


class SimulatorSettings(_Section):
    """The simulated market: a pure function of seed and time, from `starts_on` on."""

    seed: int
    starts_on: date


class DemoSettings(_Section):
    """What `make demo` replays: the symbols, and the UTC days, both included."""

    symbols: tuple[str, ...] = Field(min_length=1)
    first_day: date
    last_day: date


class Profile(_Section):
    """One way to run the pipeline: `config/<name>.yaml`."""

    account: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    venue: str
    symbols: tuple[str, ...] = Field(min_length=1)
    decisions: DecisionSettings
    paper: PaperSettings
    simulator: SimulatorSettings | None = None
    demo: DemoSettings | None = None

    @field_validator("symbols")
    @classmethod
    def _one_quote_currency(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        quote_currency(symbols)
        return symbols

    @model_validator(mode="after")
    def _simulated_venue_has_a_simulator(self) -> Self:
        if (self.venue == SIMULATED_VENUE) != (self.simulator is not None):
            msg = f"the section 'simulator' belongs to the venue {SIMULATED_VENUE!r} and to no other"
            raise ValueError(msg)
        return self

    @property
    def currency(self) -> str:
        """The currency of the account: what all symbols are paid in."""
        return quote_currency(self.symbols)


class SizingSettings(_Section):
    """Where the risk engine puts stop and target: multiples of the 1h ATR, and of the stop distance."""

    stop_atr_multiple: Decimal = Field(gt=0)
    reward_to_risk: Decimal = Field(ge=Decimal("1.5"))


class RegimeLimits(_Section):
    """R3: what a regime asks of a proposal."""

    minimum_confidence: float = Field(ge=0.5, le=1)
    maximum_leverage: Decimal = Field(ge=1, le=5)


class DrawdownLadder(_Section):
    """R5: fractions of the peak at which size is halved, new risk is paused, and the account is locked."""

    half_size: Decimal = Field(gt=0, le=Decimal("0.10"))
    pause: Decimal = Field(gt=0, le=Decimal("0.15"))
    lock: Decimal = Field(gt=0, le=Decimal("0.20"))

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if not self.half_size < self.pause < self.lock:
            msg = "the ladder's steps must rise: half_size < pause < lock"
            raise ValueError(msg)
        return self


class DailyLoss(_Section):
    """R5: fractions of the day's first equity at which is warned and halted."""

    warn: Decimal = Field(gt=0, le=Decimal("0.03"))
    halt: Decimal = Field(gt=0, le=Decimal("0.05"))


class RapidLossBreaker(_Section):
    """R6: a fall of `threshold` of equity within `window_minutes`."""

    threshold: Decimal = Field(gt=0, le=Decimal("0.02"))
    window_minutes: int = Field(ge=1, le=60)
    cool_down_minutes: int = Field(ge=1)


class ConsecutiveLossesBreaker(_Section):
    """R6: more than `threshold` losing trades in a row."""

    threshold: int = Field(ge=1, le=5)
    cool_down_minutes: int = Field(ge=1)


class HalfOpen(_Section):
    """What HALF_OPEN allows: a number of trial trades at a fraction of the size."""

    trial_trades: int = Field(ge=1)
    size_factor: Decimal = Field(gt=0, lt=1)


class BreakerSettings(_Section):
    """R6: the thresholds of the circuit breakers."""

    rapid_loss: RapidLossBreaker
    consecutive_losses: ConsecutiveLossesBreaker
    half_open: HalfOpen


class RiskLimits(_Section):
    """`config/risk.yaml`. Each bound of a field is a hard ceiling of R2: no configuration passes it."""

    risk_per_trade: Decimal = Field(gt=0, le=Decimal("0.02"))
    exposure_per_asset: Decimal = Field(gt=0, le=Decimal("0.30"))
    total_exposure: Decimal = Field(gt=0, le=Decimal("0.60"))
    leverage_live: Decimal = Field(ge=1, le=2)
    minimum_reward_to_risk: Decimal = Field(ge=Decimal("1.5"))
    short_selling: bool
    sizing: SizingSettings
    regimes: dict[Regime, RegimeLimits]
    drawdown_ladder: DrawdownLadder
    daily_loss: DailyLoss
    breakers: BreakerSettings
    heartbeat_seconds: int = Field(ge=5, le=30)

    @field_validator("regimes")
    @classmethod
    def _every_regime(cls, regimes: dict[Regime, RegimeLimits]) -> dict[Regime, RegimeLimits]:
        missing = sorted(set(Regime) - set(regimes))
        if missing:
            msg = f"limits are missing for {', '.join(missing)}"
            raise ValueError(msg)
        return regimes


class SeatSettings(_Section):
    """A seat: who serves it, which model sits in it, and which baseline sits in while offline."""

    vendor: str
    model: str
    baseline: str


class Quorum(_Section):
    """How many of the six seats, and of how many vendors, must answer."""

    answers: int = Field(ge=4, le=6)
    vendors: int = Field(ge=1, le=6)


class PoolSettings(_Section):
    """The consensus pool: clipping of p, slope before `settled_needed` settled forecasts, dead band around 0.5."""

    clip: float = Field(gt=0, lt=0.5)
    prior_slope: float = Field(ge=0, le=1)
    settled_needed: int = Field(ge=1)
    dead_band: float = Field(ge=0, lt=0.5)


class ModelSettings(_Section):
    """`config/models.yaml`."""

    offline: bool
    deadline_seconds: float = Field(gt=0)
    max_tokens: int = Field(gt=0)
    quorum: Quorum
    pool: PoolSettings
    seats: dict[str, SeatSettings] = Field(min_length=6, max_length=6)


class Settings(_Section):
    """Everything configurable, in one frozen object."""

    environment: Environment
    profile: Profile
    risk: RiskLimits
    models: ModelSettings

    @property
    def home(self) -> Path:
        """The folder of all state: database, Dagster and MLflow files, reports."""
        return self.environment.home.absolute()

    @property
    def config_hash(self) -> str:
        """Hash of what decides results: profile, limits and models, but no path, port or address."""
        return content_hash([part.model_dump(mode="json") for part in (self.profile, self.risk, self.models)])


def quote_currency(symbols: tuple[str, ...]) -> str:
    """The one currency that all `symbols` are paid in.

    Raises:
        ValueError: they are paid in several, so one account cannot hold them.
    """
    quotes = sorted({split_symbol(symbol)[1] for symbol in symbols})
    if len(quotes) != 1:
        msg = f"one account needs one quote currency, but the symbols are paid in {', '.join(quotes)}"
        raise ValueError(msg)
    return quotes[0]


def load_settings(environment: Environment | None = None, config: Path = CONFIG) -> Settings:
    """Read the profile's file, `risk.yaml` and `models.yaml`.

    Raises:
        SettingsError: a file is missing, is not YAML, or has a wrong or unknown key.
    """
    try:
        environment = environment or Environment()
    except ValidationError as error:
        raise SettingsError(_explain("the environment", error)) from error
    return Settings(
        environment=environment,
        profile=_read(config / f"{environment.profile}.yaml", Profile),
        risk=_read(config / "risk.yaml", RiskLimits),
        models=_read(config / "models.yaml", ModelSettings),
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def _read(path: Path, section: type[_SectionT]) -> _SectionT:
    try:
        return section.model_validate(yaml.safe_load(path.read_text()) or {})
    except FileNotFoundError as error:
        known = ", ".join(
            sorted(file.stem for file in path.parent.glob("*.yaml") if file.stem not in {"risk", "models"})
        )
        msg = f"there is no {path.name} in {path.parent}; set TRIPLEGAIN_PROFILE to one of: {known}"
        raise SettingsError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path} is not YAML: {error}"
        raise SettingsError(msg) from error
    except ValidationError as error:
        raise SettingsError(_explain(str(path), error)) from error


def _explain(where: str, error: ValidationError) -> str:
    lines = [f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()]
    return f"{where} is wrong: " + "; ".join(lines)
