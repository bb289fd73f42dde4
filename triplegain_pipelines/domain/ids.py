"""The only place that makes an identity. Every id is a UUIDv5 of what it identifies.

So the same decision gives the same ids in a replay, after a crash and on another machine, and a
client order id is known before the order is sent.
"""

from uuid import UUID, uuid5

_NAMESPACE = UUID("9c0a1d52-6c8e-5f0b-8f0e-2d9f3b7a4c11")


def deterministic_id(kind: str, *parts: object) -> UUID:
    """UUIDv5 of `kind` and the text of its parts.

    Parts are joined with a separator that cannot occur in them, so `("a", "bc")` and `("ab", "c")`
    differ.

    >>> deterministic_id("order", "a", "bc") == deterministic_id("order", "ab", "c")
    False
    """
    return uuid5(_NAMESPACE, "\x1f".join([kind, *(str(part) for part in parts)]))
