"""Registers the seats in MLflow: their versions, once each, and the aliases that are due."""

from collections.abc import Mapping, Sequence

from triplegain_pipelines.evaluation.tracking_client import StoredModel, TrackingClient
from triplegain_pipelines.evaluation.tracking_content import TrackedModel, TrackedVersion
from triplegain_pipelines.evaluation.tracking_models import PREFIX

CHAMPION, OFFLINE_BASELINE = "champion", "offline-baseline"

_JUDGED = "triplegain.judged"


def register(client: TrackingClient, models: Sequence[TrackedModel], judged: str | None) -> dict[str, tuple[str, ...]]:
    """Bring the registered models up to date; what is there already stays as it is.

    Args:
        client: of MLflow.
        models: every seat.
        judged: the window that speaks. An earlier one than the last that spoke has no say about the champion, nor has
            one that is None.

    Returns:
        The version numbers of each model, in order of appearance.
    """
    stored = client.models(PREFIX)
    return {model.name: _register(client, model, stored.get(model.name), judged) for model in models}


def _register(
    client: TrackingClient, model: TrackedModel, stored: StoredModel | None, judged: str | None
) -> tuple[str, ...]:
    if stored is None:
        client.create_model(model.name, model.description)
        stored = StoredModel({}, {}, {})
    numbers = dict(stored.versions)
    for version in model.versions:
        if _key(version) not in numbers:
            numbers[_key(version)] = client.create_version(model.name, version)
    _point(client, model.name, stored.aliases, OFFLINE_BASELINE, _number(numbers, model.offline_baseline))
    spoken = stored.tags.get(_JUDGED, "")
    if judged is not None and judged >= spoken:
        _point(client, model.name, stored.aliases, CHAMPION, _number(numbers, model.champion))
        if judged != spoken:
            client.set_model_tag(model.name, _JUDGED, judged)
    return tuple(numbers[_key(version)] for version in model.versions)


def _point(client: TrackingClient, name: str, aliases: Mapping[str, str], alias: str, version: str | None) -> None:
    if aliases.get(alias) != version:
        client.set_alias(name, alias, version)


def _number(numbers: Mapping[tuple[str, str], str], version: TrackedVersion | None) -> str | None:
    return None if version is None else numbers[_key(version)]


def _key(version: TrackedVersion) -> tuple[str, str]:
    return version.model, version.template_hash
