"""Settings: the YAML files of `config/` and the environment, as frozen objects. Nothing else reads either.

Every key is read and an unknown key fails. The environment can set `TRIPLEGAIN_HOME`, `TRIPLEGAIN_PROFILE`,
`TRIPLEGAIN_DATABASE_URL`, the ports of the services and the master switch `LLM_ENABLED`.
"""

from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.settings.market import MarketSettings
from triplegain_pipelines.settings.models import ModelSettings
from triplegain_pipelines.settings.news import NewsSettings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE, Profile
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.settings.section import Section
from triplegain_pipelines.settings.venues import Venues

PROJECT = Path(__file__).resolve().parents[2]
CONFIG = PROJECT / "config"
_SHARED = {"risk", "models", "market", "venues", "news"}
_SectionT = TypeVar("_SectionT", bound=Section)


class Environment(BaseSettings):
    """What comes from environment variables."""

    model_config = SettingsConfigDict(env_prefix="TRIPLEGAIN_", extra="ignore", frozen=True)

    home: Path = PROJECT / ".triplegain"
    profile: str = "demo"
    database_url: str | None = None
    webserver_port: int = Field(default=3000, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    reports_port: int = Field(default=3002, ge=1, le=65535)
    llm_enabled: bool = Field(default=True, validation_alias="LLM_ENABLED")


class Settings(Section):
    """Everything configurable, in one frozen object."""

    environment: Environment
    profile: Profile
    risk: RiskLimits
    models: ModelSettings
    market: MarketSettings
    venues: Venues
    news: NewsSettings

    @property
    def home(self) -> Path:
        """The folder of all state: database, Dagster and MLflow files, reports."""
        return self.environment.home.absolute()

    @property
    def config_hash(self) -> str:
        """Hash of what decides results: profile, limits, models and rules for data, but no path, port or address."""
        parts = (self.profile, self.risk, self.models, self.market.quality)
        weights = {timeframe.value: weight for timeframe, weight in self.market.timeframe_weights.items()}
        return content_hash([*(part.model_dump(mode="json") for part in parts), weights])


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
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def _read(path: Path, section: type[_SectionT]) -> _SectionT:
    try:
        return section.model_validate(yaml.safe_load(path.read_text()) or {})
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
