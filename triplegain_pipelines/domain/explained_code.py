"""The base of codes that explain themselves, from which the docs' tables are generated."""

from enum import StrEnum
from typing import Self


class ExplainedCode(StrEnum):
    """A word for machines, with what it means for people in `meaning`."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member whose value is its code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member
