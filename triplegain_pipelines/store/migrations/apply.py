"""Executes the SQL file that stands beside a revision."""

from pathlib import Path

from alembic import op

_VERSIONS = Path(__file__).parent / "versions"


def apply_sql(name: str, **replacements: str) -> None:
    """Run `versions/<name>.sql` as one script, `{key}` replaced by each of `replacements`."""
    script = (_VERSIONS / f"{name}.sql").read_text()
    for key, value in replacements.items():
        script = script.replace(f"{{{key}}}", value)
    # no_parameters: the script goes to the server as it stands, percent signs and several statements included.
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(script)
