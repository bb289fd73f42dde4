"""An account's books as they stand in one transaction, and what changes them together: marks, fills, breakers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from triplegain_pipelines.domain.risk import BreakerStates, Holding, PortfolioState
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.risk.breakers import BreakerChange
from triplegain_pipelines.risk.state import RiskState
from triplegain_pipelines.store import accounts, breakers, positions, risk_state
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.standing import Standing


@dataclass(frozen=True, slots=True)
class Books:
    """Cash, open positions, what risk remembers, and the breakers of one account. Cash is in its currency."""

    account: str
    cash: Decimal
    positions: tuple[Position, ...]
    risk: RiskState
    breakers: BreakerStates

    def portfolio(
        self,
        prices: Mapping[str, Decimal],
        at: datetime,
        unresolved: Iterable[str] = (),
        day_volume: Decimal = Decimal(0),
    ) -> PortfolioState:
        """The account as the risk engine sees it, each position marked to its price in `prices`.

        `unresolved` are the symbols with an order of unknown outcome, `day_volume` what was ordered this UTC day.
        """
        return PortfolioState(
            account=self.account,
            at=at,
            cash=self.cash,
            holdings=tuple(
                Holding(
                    held.symbol,
                    held.quantity,
                    held.average_entry,
                    prices[held.symbol],
                    held.stop_loss,
                    held.take_profit,
                )
                for held in self.positions
            ),
            peak_equity=self.risk.peak_equity,
            day_start_equity=self.risk.day_start_equity,
            losses_in_a_row=self.risk.losses_in_a_row,
            last_loss_risk=self.risk.last_loss_risk,
            drawdown_locked=self.risk.drawdown_locked,
            unresolved_symbols=frozenset(unresolved),
            day_opened_equity=self.risk.day_opened_equity,
            day_flow=self.risk.day_flow,
            day_volume=day_volume,
        )

    def position(self, symbol: str) -> Position | None:
        """The open position in `symbol`, or None."""
        return next((held for held in self.positions if held.symbol == symbol), None)

    def with_changes(self, changes: Iterable[BreakerChange]) -> "Books":
        """The books with the changes of breakers taken over."""
        changed = {change.after.name: change.after for change in changes}
        return replace(self, breakers={**self.breakers, **changed}) if changed else self


def load_books(transaction: AccountTransaction) -> Books:
    """The account's books. The transaction holds the account's row, so they stay as they are until its end."""
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    return Books(
        account=account,
        cash=accounts.balance(connection, schema, account, transaction.currency),
        positions=tuple(positions.read_all(connection, schema, account)),
        risk=risk_state.read(connection, schema, account),
        breakers=breakers.read(connection, account),
    )


def books_of(account: str, found: Standing) -> Books:
    """The books of an account that stands like this."""
    return Books(account, found.cash, tuple(found.positions), found.risk, found.breakers)


def unresolved_symbols(alive: Iterable[Order]) -> frozenset[str]:
    """Symbols with an order of which it is not known what the venue makes of it."""
    return frozenset(order.intent.symbol for order in alive if order.is_unresolved)


def change_breakers(transaction: AccountTransaction, changes: Iterable[BreakerChange], changed_by: str) -> None:
    """Latch changed breakers, with history and event."""
    for change in changes:
        breakers.change(transaction.connection, transaction.account, change, changed_by)
        transaction.note(
            EventKind.BREAKER_CHANGED,
            breaker=change.after.name,
            before=change.before.state,
            after=change.after.state,
            changed_at=change.after.changed_at,
            changed_by=changed_by,
            **change.reason.document(),
        )
