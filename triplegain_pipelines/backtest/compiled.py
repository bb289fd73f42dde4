"""How functions of the fast engine are compiled: once for all processes, and without the interpreter's lock."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function`, compiled at its first call and kept beside its module. No operation is reordered or fused."""
    return cast("Callable[_P, _R]", njit(cache=True, nogil=True)(function))


def inlined(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """As `compiled`, and made part of whoever calls it: a call that hands many arrays on counts references to each."""
    return cast("Callable[_P, _R]", njit(cache=True, nogil=True, forceinline=True)(function))
