"""What every section of a configuration file has in common: it cannot change, and an unknown key fails."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen part of a file of `config/`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
