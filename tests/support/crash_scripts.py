"""What a live process does before it is killed: scripts of decisions, prices and a person's commands."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.operator import set_mode
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.rehearsal.caretaker import Caretaker
from triplegain_pipelines.rehearsal.control import Control
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind

D = Decimal
BTC, ETH = "BTC/USDT", "ETH/USDT"
Decisions = Mapping[tuple[str, Action], UUID]


@dataclass(frozen=True, slots=True)
class Life:
    """What a script works with: the desk, the exchange's control, what services do, and the queued decisions."""

    desk: Desk
    control: Control
    caretaker: Caretaker
    decisions: Decisions

    def act(self, symbol: str, action: Action) -> None:
        """Execute a decision in one go."""
        with suppress(TransientError), OrderPath(self.desk, wait=5) as path:
            path.execute(self.decisions[symbol, action])

    def act_in_steps(self, symbol: str, action: Action) -> None:
        """Execute a decision as the job does: each step in an order path of its own."""
        decision_id = self.decisions[symbol, action]
        with suppress(TransientError):
            with OrderPath(self.desk, wait=5) as path:
                claimed = path.claim(decision_id)
            for step in (OrderPath.check_risk, OrderPath.submit, OrderPath.settle):
                if isinstance(claimed, Claim):
                    with OrderPath(self.desk, wait=5) as path:
                        step(path, decision_id, claimed.token)

    def price(self, symbol: str, bid: str, ask: str) -> None:
        """Move the price."""
        self.control.set_price(symbol, D(bid), D(ask))


@dataclass(frozen=True, slots=True)
class Script:
    """What the first life does, with which decisions, and faults that are always there."""

    decisions: tuple[tuple[str, Action], ...]
    play: Callable[[Life], None]
    always: tuple[Fault, ...] = ()


def _round_trip(life: Life) -> None:
    life.act(BTC, Action.BUY)
    life.act(BTC, Action.CLOSE)


def _in_steps(life: Life) -> None:
    life.act_in_steps(BTC, Action.BUY)
    life.act_in_steps(BTC, Action.CLOSE)


def _stopped(life: Life) -> None:
    life.act(BTC, Action.BUY)
    life.price(BTC, "58000", "58001")
    life.caretaker.round()


def _target(life: Life) -> None:
    life.act(BTC, Action.BUY)
    life.price(BTC, "63000", "63001")
    life.caretaker.round()


def _in_parts(life: Life) -> None:
    life.act(BTC, Action.BUY)
    life.price(BTC, "60010", "60011")
    life.caretaker.round()
    life.act(BTC, Action.CLOSE)
    life.price(BTC, "60020", "60021")
    life.caretaker.round()


def _two_symbols(life: Life) -> None:
    life.act(BTC, Action.BUY)
    life.act(ETH, Action.BUY)
    life.price(BTC, "58000", "58001")
    life.act(ETH, Action.CLOSE)
    life.caretaker.round()


def _withdrawn(life: Life) -> None:
    life.act(BTC, Action.BUY)
    set_mode(life.desk, TradingMode.REDUCING, "a test", "no new risk")
    life.caretaker.round()


def _flattened(life: Life) -> None:
    life.act(BTC, Action.BUY)
    life.act(ETH, Action.BUY)
    assert life.desk.emergency_file is not None
    life.desk.emergency_file.write_text('{"flatten": true}')
    life.caretaker.round()


def _way_out(life: Life) -> None:
    """The stop's request is lost, and all is to be closed before the venue can say what became of it."""
    life.act(BTC, Action.BUY)
    assert life.desk.emergency_file is not None
    life.desk.emergency_file.write_text('{"flatten": true}')
    life.caretaker.settle(lambda: None, rounds=3)


_PART = Fault(FaultKind.PARTIAL_FILL, CallKind.SUBMIT)
_BUY, _CLOSE = (BTC, Action.BUY), (BTC, Action.CLOSE)
SCRIPTS: Mapping[str, Script] = {
    "round trip": Script((_BUY, _CLOSE), _round_trip),
    "in steps": Script((_BUY, _CLOSE), _in_steps),
    "stopped": Script((_BUY,), _stopped),
    "target": Script((_BUY,), _target),
    "in parts": Script((_BUY, _CLOSE), _in_parts, (_PART, _PART)),
    "two symbols": Script((_BUY, (ETH, Action.BUY), (ETH, Action.CLOSE)), _two_symbols),
    "withdrawn": Script((_BUY,), _withdrawn, (_PART,)),
    "way out": Script(
        (_BUY,),
        _way_out,
        (Fault(FaultKind.REVISE, CallKind.SUBMIT), Fault(FaultKind.LOSE_REQUEST, CallKind.SUBMIT)),
    ),
    "flattened": Script((_BUY, (ETH, Action.BUY)), _flattened),
}
