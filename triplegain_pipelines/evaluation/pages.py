"""Rendering the HTML templates beside this module. Everything that is placed in them is escaped."""

from pathlib import Path

_TEMPLATES = Path(__file__).parent / "templates"


def render_template(name: str, **context: object) -> str:
    """The template `name` with `context` placed in it; a name that it lacks is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(name).render(context)
