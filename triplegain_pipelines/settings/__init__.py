"""Settings: the YAML files of `config/` and the environment, as frozen objects. Nothing else reads either.

Every key is read and an unknown key fails. The environment can set `TRIPLEGAIN_HOME`, `TRIPLEGAIN_PROFILE`,
`TRIPLEGAIN_DATABASE_URL`, `TRIPLEGAIN_MASTER_KEY`, `TRIPLEGAIN_RESEARCH_EXECUTOR`, the ports of the services and the
master switch `LLM_ENABLED`; and the switches of live trading `PAPER_TRADING`, `LIVE_TRADING_ENABLED`, `ENVIRONMENT`,
`LIVE_TRADING_ACCOUNT` and `LIVE_TRADING_VENUE`, which leave it off unless each is set.
"""

import re
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.domain.secrets import passwords_in, remember
from triplegain_pipelines.settings.market import MarketSettings
from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.settings.models import ModelSettings
from triplegain_pipelines.settings.news import NewsSettings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE, Profile
from triplegain_pipelines.settings.research import ResearchSettings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.settings.section import Section
from triplegain_pipelines.settings.venues import Venues

PROJECT = Path(__file__).resolve().parents[2]
CONFIG = PROJECT / "config"
_SHARED = {"risk", "models", "market", "venues", "news", "meta_strategy", "research"}
_SectionT = TypeVar("_SectionT", bound=Section)
# What is not written like this libpq reads in another way than we do, and its error names parts of the password.
_WORD = r"(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
_DATABASE_URL = re.compile(
    rf"postgresql://(?:{_WORD}(?::{_WORD})?@)?(?:{_WORD}|\[[\da-fA-F:.]+\])(?::\d+)?/[^/@?\s]+(?:\?[\w=&.%/,+-]*)?"
)


class Deployment(StrEnum):
    """Where this runs. Each has credentials of its own, and only production may trade with real money."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class ResearchExecutor(StrEnum):
    """Where the steps of research run: cores of this machine, the run's own process, or workers elsewhere."""

    PROCESSES = "processes"
    ONE = "one"
    CELERY = "celery"
    KUBERNETES = "kubernetes"


class Environment(BaseSettings):
    """What comes from environment variables."""

    model_config = SettingsConfigDict(
        env_prefix="TRIPLEGAIN_", extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    home: Path = PROJECT / ".triplegain"
    profile: str = "demo"
    database_url: str | None = Field(default=None, repr=False)
    master_key: SecretStr | None = None
    webserver_port: int = Field(default=3000, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    reports_port: int = Field(default=3002, ge=1, le=65535)
    research_executor: ResearchExecutor = ResearchExecutor.PROCESSES
    llm_enabled: bool = Field(default=True, validation_alias="LLM_ENABLED")
    deployment: Deployment = Field(default=Deployment.DEVELOPMENT, validation_alias="ENVIRONMENT")
    paper_trading: bool = Field(default=True, validation_alias="PAPER_TRADING")
    live_trading_enabled: bool = Field(default=False, validation_alias="LIVE_TRADING_ENABLED")
    live_trading_account: str = Field(default="", validation_alias="LIVE_TRADING_ACCOUNT")
    live_trading_venue: str = Field(default="", validation_alias="LIVE_TRADING_VENUE")

    @field_validator("database_url")
    @classmethod
    def _one_reading_of_the_address(cls, url: str | None) -> str | None:
        if url is None or url == "":
            return url
        if not _DATABASE_URL.fullmatch(url):
            msg = "not of the form postgresql://user:password@host:port/database; write the special characters of the "
            msg += "password as %40 and the like"
            raise ValueError(msg)
        remember(*passwords_in(url))
        return url

    @field_validator("master_key")
    @classmethod
    def _remembered(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            remember(*key.get_secret_value().replace(",", " ").split())
        return key


class Settings(Section):
    """Everything configurable, in one frozen object."""

    environment: Environment
    profile: Profile
    risk: RiskLimits
    models: ModelSettings
    market: MarketSettings
    venues: Venues
    news: NewsSettings
    research: ResearchSettings
    meta_strategy: MetaStrategySettings

    @property
    def home(self) -> Path:
        """The folder of all state: database, Dagster and MLflow files, reports."""
        return self.environment.home.absolute()

    @property
    def config_hash(self) -> str:
        """Hash of what decides results: profile, limits, models and rules for data, but no path, port or address.

        Who words a report's sentences decides none.
        """
        models = self.models.model_dump(mode="json", exclude={"narratives"})
        profile, risk, quality = (one.model_dump(mode="json") for one in (self.profile, self.risk, self.market.quality))
        weights = {timeframe.value: weight for timeframe, weight in self.market.timeframe_weights.items()}
        return content_hash([profile, risk, models, quality, weights])


def load_settings(environment: Environment | None = None, config: Path = CONFIG) -> Settings:
    """Read the profile's file and the files that all profiles share.

    Raises:
        SettingsError: a file is missing, is not YAML, or has a wrong or unknown key.
    """
    try:
        environment = environment or Environment()
    except ValidationError as error:
        raise SettingsError(_explain("the environment", error)) from error
    profile = _read(config / f"{environment.profile}.yaml", Profile)
    venues = _read(config / "venues.yaml", Venues)
    _require_known_venues(environment.profile, profile, venues)
    return Settings(
        environment=environment,
        profile=profile,
        risk=_read(config / "risk.yaml", RiskLimits),
        models=_read(config / "models.yaml", ModelSettings),
        market=_read(config / "market.yaml", MarketSettings),
        venues=venues,
        news=_read(config / "news.yaml", NewsSettings),
        research=_read(config / "research.yaml", ResearchSettings),
        meta_strategy=_read(config / "meta_strategy.yaml", MetaStrategySettings),
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def _read(path: Path, section: type[_SectionT]) -> _SectionT:
    try:
        return section.model_validate(yaml.load(path.read_text(), Loader=yaml.CSafeLoader) or {})
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml") if file.stem not in _SHARED))
        msg = f"there is no {path.name} in {path.parent}; set TRIPLEGAIN_PROFILE to one of: {known}"
        raise SettingsError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path} is not YAML: {error}"
        raise SettingsError(msg) from error
    except ValidationError as error:
        raise SettingsError(_explain(str(path), error)) from error


def _require_known_venues(name: str, profile: Profile, venues: Venues) -> None:
    for venue in filter(None, (profile.venue, profile.backup_venue)):
        if venue != SIMULATED_VENUE and venue not in venues.venues:
            msg = f"{name}.yaml names the venue {venue!r}, which venues.yaml does not describe; add it there"
            raise SettingsError(msg)


def _explain(where: str, error: ValidationError) -> str:
    lines = [f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()]
    return f"{where} is wrong: " + "; ".join(lines)
