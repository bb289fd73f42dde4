"""Secrets planted for a test, and the search for them in everything that was written."""

import base64
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
from psycopg import sql


def forms(secret: str) -> dict[str, bytes]:
    """What a secret looks like where it was written down: as it is, percent-encoded, escaped, in base64 and in hex."""
    data = secret.encode()
    made = {
        "raw": data,
        "percent": quote(secret, safe="").encode(),
        "plus": quote_plus(secret).encode(),
        "escaped": secret.encode("unicode_escape"),
        "base64": base64.b64encode(data).rstrip(b"="),
        "url-safe base64": base64.urlsafe_b64encode(data).rstrip(b"="),
        "base64 behind a colon": base64.b64encode(b":" + data)[2 : len(data)],
        "base64 behind two signs": base64.b64encode(b"::" + data)[3 : len(data)],
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
    }
    lines = [line for line in secret.splitlines()[1:-1] if len(line) >= 8]
    return made | {f"line {number}": line.encode() for number, line in enumerate(lines)}


def found(written: Iterable[tuple[str, bytes]], secrets: Mapping[str, str]) -> list[str]:
    """Where any of `secrets` is in what was written, and in which form."""
    wanted = [(name, form, value) for name, secret in secrets.items() for form, value in forms(secret).items()]
    return [f"{name} ({form}) in {place}" for place, data in written for name, form, value in wanted if value in data]


def files(folder: Path, *, but: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    """The bytes of every file under `folder`, and its name; of SQLite's also what is packed in its rows."""
    left_out = set(but)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.name in left_out:
            continue
        data = path.read_bytes()
        yield str(path), str(path).encode() + b"\n" + data
        if data.startswith(b"SQLite format 3"):
            yield from _rows_of_sqlite(path)


def rows(url: str) -> Iterator[tuple[str, bytes]]:
    """Every row of every table of a PostgreSQL database as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            """SELECT table_schema, table_name FROM information_schema.tables
               WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('information_schema')"""
        ).fetchall()
        for schema, table in tables:
            if schema == "pg_catalog" and table not in {"pg_description", "pg_db_role_setting", "pg_settings"}:
                continue
            name = sql.Identifier(schema, table)
            for (row,) in connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(name)):
                yield f"{schema}.{table}", row.encode()


def _rows_of_sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - its own table's name
                for value in row:
                    data = value if isinstance(value, bytes) else str(value).encode()
                    yield f"{path} {table}", data
                    if isinstance(value, bytes):
                        yield f"{path} {table}, unpacked", _unpacked(value)


def _unpacked(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value
