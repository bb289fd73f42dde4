"""The venues of `config/venues.yaml` at a pace for loopback: nobody there minds a hurry."""

from functools import cache

import yaml

from triplegain_pipelines.settings import CONFIG
from triplegain_pipelines.settings.venues import Venues, VenueSettings

_CALLS_PER_SECOND = 1000.0


def quick_venue(venue: str) -> VenueSettings:
    """The settings of a venue, but for its pace."""
    return _venues().of(venue).model_copy(update={"calls_per_second": _CALLS_PER_SECOND})


@cache
def _venues() -> Venues:
    return Venues.model_validate(yaml.safe_load((CONFIG / "venues.yaml").read_text()))
