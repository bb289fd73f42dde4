"""The decisions of a rehearsal: drawn by a seed, and queued by the process that holds the exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import numpy as np

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.execution.broker import NoAccess
from triplegain_pipelines.execution.desk import LIVE, Desk
from triplegain_pipelines.rehearsal import floor
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.prices import ExchangePrices
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store.database import Database

_DECIDES, _BUYS = 0.5, 0.65  # share of rounds with a decision, and of those that buy
_ATR_SHARES = (0.0004, 0.002)  # stops so close that an hour's path reaches some


class Decider:
    """Opens the account and queues decisions. It has no connection open in between, when processes may be forked.

    Args:
        exchange: in this process, with the clock of all.
        url: of the database of the books.
        venue: for which the exchange stands.
        limits: of risk.
        seed: of the decisions.
    """

    def __init__(self, exchange: LoopbackExchange, url: str, venue: str, limits: RiskLimits, seed: int) -> None:
        self._exchange, self._url, self._venue, self._limits = exchange, url, venue, limits
        self._draw = np.random.default_rng([seed, 2])

    def open(self, cash: Decimal, currency: str) -> None:
        """Open the account with what the exchange has, and arm it."""
        with self._desk() as desk:
            floor.open_books(desk, cash, currency)

    def decide(self) -> None:
        """Queue the decision of this round, if there is one."""
        draw = self._draw
        decides, buys, close = draw.random() < _DECIDES, draw.random() < _BUYS, float(draw.uniform(*_ATR_SHARES))
        symbol = tuple(self._exchange.instruments)[int(draw.integers(len(self._exchange.instruments)))]
        if decides:
            with self._desk() as desk:
                floor.queue_scripted(desk, symbol, Action.BUY if buys else Action.CLOSE, close)

    @contextmanager
    def _desk(self) -> Iterator[Desk]:
        database = Database(self._url)
        desk = Desk(
            database=database,
            account=floor.ACCOUNT,
            market=self._venue,
            clock=self._exchange.clock,
            prices=ExchangePrices(self._exchange),
            broker=NoAccess(self._venue),
            limits=self._limits,
            fee_rate=self._exchange.fee_rate,
            instruments=self._exchange.instruments,
            schema=LIVE,
            live=True,
        )
        try:
            yield desk
        finally:
            database.close()
