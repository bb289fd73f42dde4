"""What a person sees on a materialisation: tables, small plots and times. Nothing is computed here."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import dagster as dg

from triplegain_pipelines.settings import Settings

_PNG = "data:image/png;base64,"
WIDTH, _HEIGHT = 720, 120
"""Of a plot, in pixels: more points than that are not seen."""


def table(rows: Sequence[Mapping[str, object]]) -> dg.MetadataValue:
    """A table; every cell is shown as text."""
    records = [dg.TableRecord({name: str(value) for name, value in row.items()}) for row in rows]
    if not records:
        return dg.MetadataValue.text("no rows")
    columns = [dg.TableColumn(name, "string") for name in rows[0]]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def plot(series: Mapping[str, Sequence[float]]) -> dg.MetadataValue:
    """A small line chart of each series, drawn on its own scale, as an inline picture."""
    pictures = [f"**{name}**\n\n![{name}](data:image/svg+xml;base64,{_svg(values)})" for name, values in series.items()]
    return dg.MetadataValue.md("\n\n".join(pictures) or "nothing to plot")


def picture(png: bytes) -> dg.MetadataValue:
    """A small PNG, inline."""
    return dg.MetadataValue.md(f"![]({_PNG}{base64.b64encode(png).decode()})")


def page_address(settings: Settings, path: Path) -> str:
    """Where the server of reports has the page that was written to `path` of the home."""
    place = quote(path.relative_to(settings.home).as_posix())
    return f"http://127.0.0.1:{settings.environment.reports_port}/{place}"


def _svg(values: Sequence[float]) -> str:
    step = max(1, len(values) // WIDTH)
    points = values[::step]
    low, high = min(points, default=0.0), max(points, default=1.0)
    span = (high - low) or 1.0
    width = max(1, len(points) - 1)
    places = [(WIDTH * index / width, _HEIGHT * (high - value) / span) for index, value in enumerate(points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -4 {WIDTH} {_HEIGHT + 8}" width="{WIDTH}" '
        f'height="{_HEIGHT + 8}"><polyline fill="none" stroke="#4f43dd" stroke-width="1.5" points="{path}"/></svg>'
    )
    return base64.b64encode(picture.encode()).decode()
