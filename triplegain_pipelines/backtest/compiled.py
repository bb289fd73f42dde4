"""How functions of the fast engine are compiled: once for all processes, and without the interpreter's lock.

They make no arrays, so they count no references to any: whoever calls holds what they were given. Counting, which is
locked between the cores, was half of the time of a walk.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

_P = ParamSpec("_P")
_R = TypeVar("_R")

_AS = {"cache": True, "nogil": True, "_nrt": False}


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function`, compiled at its first call and kept beside its module. No operation is reordered or fused."""
    return cast("Callable[_P, _R]", njit(**_AS)(function))


def inlined(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """As `compiled`, and made part of whoever calls it: handing many arrays on costs more than what is done."""
    return cast("Callable[_P, _R]", njit(forceinline=True, **_AS)(function))
