"""One spelling for every document, so that equal content has equal bytes and an equal hash."""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID


def canonical_json(document: object) -> str:
    """`document` as JSON with sorted keys, no spaces, Decimals and ids as text, times as ISO 8601.

    Raises:
        TypeError: a value has no canonical spelling.
        ValueError: a float is NaN or infinite.

    >>> canonical_json({"b": Decimal("1.10"), "a": None})
    '{"a":null,"b":"1.10"}'
    """
    return _ENCODER.encode(document)


def content_hash(document: object) -> str:
    """SHA-256 of the canonical spelling, in hex. A string is hashed as it stands."""
    text = document if isinstance(document, str) else canonical_json(document)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return str(value.value)
    msg = f"{type(value).__name__} has no canonical spelling; convert it before hashing"
    raise TypeError(msg)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_text)
