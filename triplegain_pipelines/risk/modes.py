"""The trading modes of an account, from loose to strict, and what each lets through."""

from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import TradingMode

_STRICTNESS = {TradingMode.ACTIVE: 0, TradingMode.REDUCING: 1, TradingMode.HALTED: 2}


def loosens(before: TradingMode, after: TradingMode) -> bool:
    """Whether `after` lets through what `before` refuses."""
    return _STRICTNESS[after] < _STRICTNESS[before]


def no_new_risk(mode: TradingMode, *, stopped: bool) -> Reason | None:
    """Why the mode lets no new risk through, or None. `stopped` says that an emergency stop is in force."""
    if stopped:
        return Reason(ReasonCode.EMERGENCY_STOP)
    if mode is TradingMode.HALTED:
        return Reason(ReasonCode.MODE_HALTED)
    return Reason(ReasonCode.MODE_REDUCING) if mode is TradingMode.REDUCING else None


def no_order(mode: TradingMode, *, stopped: bool) -> Reason | None:
    """Why nothing at all is sent for a decision, not even an exit, or None."""
    return None if mode is not TradingMode.HALTED and not stopped else no_new_risk(TradingMode.HALTED, stopped=stopped)
