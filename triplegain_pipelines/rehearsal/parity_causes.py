"""Two ways side by side, and what a difference between them comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from triplegain_pipelines.domain.orders import Intent, Leg
from triplegain_pipelines.rehearsal.parity_report import Cause
from triplegain_pipelines.rehearsal.parity_run import Dealt, Position, Run, positions_of

_LEFT = "LEFT"  # what is not sold at the end, among legs
_GUARDIAN = "GUARDIAN"  # an exit that no decision asked for


@dataclass(frozen=True, slots=True)
class Both:
    """Both ways, with their positions by the decision that opened each."""

    one: Run
    two: Run
    ones: Mapping[UUID, Position]
    twos: Mapping[UUID, Position]

    @classmethod
    def of(cls, one: Run, two: Run) -> "Both":
        """The two runs side by side."""
        return cls(one, two, positions_of(one), positions_of(two))

    @property
    def opened(self) -> list[UUID]:
        """The decisions that opened a position in either way, in the order of time."""
        return list(dict.fromkeys([*self.ones, *self.twos]))

    def alone(self, decision_id: UUID) -> tuple[Cause, str]:
        """Why only one way acted on a decision."""
        for run in (self.one, self.two):
            if decision_id not in run.ends:
                return Cause.DECISION, f"it never came to the {run.way}"
        ends = ", ".join(f"{run.way}: {run.ends[decision_id]}" for run in (self.one, self.two))
        return Cause.REFUSED, ends

    def resized(self, decision_id: UUID) -> Cause:
        """Why a position has another quantity."""
        if _bought(self.one, decision_id) == _bought(self.two, decision_id):
            return Cause.PARTS
        return self.placed(decision_id) or Cause.QUANTITY

    def placed(self, decision_id: UUID) -> Cause | None:
        """Why its levels are others; None where they are not."""
        first, second = self.one.levels.get(decision_id), self.two.levels.get(decision_id)
        if first is None or second is None or (first.stop, first.target) == (second.stop, second.target):
            return None
        return Cause.LEVEL if first.entry == second.entry else Cause.MOMENT

    def left(self, decision_id: UUID) -> Cause:
        """Why a position was left at another price of the market."""
        if self.placed(decision_id) is Cause.LEVEL:
            return Cause.LEVEL
        legs = [_legs(positions[decision_id]) for positions in (self.ones, self.twos)]
        if legs[0] == legs[1]:
            return Cause.MOMENT if legs[0] == {Leg.EXIT} else Cause.TRIGGER
        if {Leg.TAKE_PROFIT} in legs and {_GUARDIAN} in legs:
            return Cause.TARGET_HELD
        for run, others in ((self.one, self.twos), (self.two, self.ones)):
            if any(one.intent.decision_id not in run.ends for one in others[decision_id].exits):
                return Cause.DECISION
        return Cause.TRIGGER

    def missing(self, intent: Intent) -> Cause:
        """Why only one way has an intent."""
        decision_id, leg = intent.decision_id, intent.leg
        first, second = self.ones.get(decision_id), self.twos.get(decision_id)
        if first is None and second is None:
            return self._exit_missing(intent) if leg is Leg.EXIT else self.alone(decision_id)[0]
        if first is None or second is None:
            return self.alone(decision_id)[0]
        if leg is Leg.TAKE_PROFIT:
            return Cause.PARTS if intent.attempt > 1 else Cause.TARGET_HELD
        if leg is Leg.EXIT and self.left(decision_id) is Cause.TARGET_HELD:
            return Cause.TARGET_HELD
        if leg is Leg.STOP and max(len(first.entries), len(second.entries)) > 1:
            return Cause.PARTS
        return Cause.TRIGGER

    def _exit_missing(self, intent: Intent) -> Cause:
        """Why a decision closed a position in one way only: it was gone in the other, or the decision never came."""
        if any(intent.decision_id not in run.ends for run in (self.one, self.two)):
            return Cause.DECISION
        for mine, others in ((self.ones, self.twos), (self.twos, self.ones)):
            for position in mine.values():
                if any(one.intent.decision_id == intent.decision_id for one in position.exits):
                    known = position.decision_id in others
                    return self.left(position.decision_id) if known else self.alone(position.decision_id)[0]
        return Cause.REFUSED


def _bought(run: Run, decision_id: UUID) -> list[object]:
    """The quantities that were ordered to open a position."""
    return [intent.quantity for intent in run.intents if intent.decision_id == decision_id and intent.leg is Leg.ENTRY]


def _legs(position: Position) -> set[str]:
    return {_leg(position, one) for one in position.exits} | ({_LEFT} if position.quantity else set())


def _leg(position: Position, one: Dealt) -> str:
    own = one.intent.leg is Leg.EXIT and one.intent.decision_id == position.decision_id
    return _GUARDIAN if own else one.intent.leg


def seen(dealt: Sequence[Dealt], otherwise: str) -> str:
    """In words, by which leg and at what the first of `dealt` was."""
    if not dealt:
        return otherwise
    first = dealt[0]
    return f"{first.intent.leg.value} {first.reference.normalize():f} {first.seen}"
