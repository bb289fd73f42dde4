"""A venue on loopback as a program of its own: `python -m triplegain_pipelines.rehearsal < specification.json`.

Its books live until it is ended, whatever happens to its clients. The specification names venue, instruments, balances
and fee rate, and as it likes the file of a shared clock and a plan of faults. The answer is one line of JSON: address
and key. It ends when its input ends.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import FaultPlan, fault_plan
from triplegain_pipelines.rehearsal.server import LoopbackServer


def main() -> None:
    """Serve until nobody holds the other end of the input any more."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    instruments = [
        Instrument(one.pop("symbol"), **{name: Decimal(value) for name, value in one.items()})
        for one in asked["instruments"]
    ]
    balances = {currency: Decimal(amount) for currency, amount in asked["balances"].items()}
    clock = ShiftableClock(file=Path(asked["clock"]) if "clock" in asked else None)
    exchange = LoopbackExchange(instruments, balances, Decimal(asked["fee_rate"]), clock)
    faults = fault_plan(**asked["faults"]) if "faults" in asked else FaultPlan()
    with LoopbackServer(exchange, asked["venue"], faults) as server:
        key = {"api_key": server.api_key, "api_secret": server.api_secret}
        sys.stdout.write(json.dumps({"url": server.url, "websocket_url": server.websocket_url, **key}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
