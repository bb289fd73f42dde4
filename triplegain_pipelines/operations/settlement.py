"""Whether what was forecast was also settled: a forecast without its outcome is one that nobody is judged by."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from triplegain_pipelines.agents.answer import FIRST_HORIZON_HOURS, SECOND_HORIZON_HOURS
from triplegain_pipelines.evaluation.outcomes import LONGEST_WAIT, settle, settles_within
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import decision_candles
from triplegain_pipelines.store.unsettled import Unsettled, read_unsettled

LOOK_BACK = timedelta(days=7)
"""How far before its own days a run looks: days that no run settled would else never be noticed."""

_HORIZONS = (FIRST_HORIZON_HOURS, SECOND_HORIZON_HOURS)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Horizons that are over and have no outcome: `overdue` have their prices, `without_price` have none to settle by.

    The first is a fault of the pipeline. The second is a hole in the market's data, and nothing is put in its place.
    """

    overdue: tuple[Unsettled, ...]
    without_price: tuple[Unsettled, ...]

    @property
    def complete(self) -> bool:
        """Whether every horizon that is over has its outcome."""
        return not (self.overdue or self.without_price)


def examine_settlement(database: Database, session: Session, start: datetime, end: datetime) -> Settlement:
    """Look for horizons without an outcome that were over before `end`, from `LOOK_BACK` before `start` on."""
    grace = session.settings.profile.decisions.grace
    waits = {hours: settles_within(hours, grace) for hours in _HORIZONS}
    until = min(end, session.clock.now())
    with database.connection() as connection:
        missing = read_unsettled(connection, session.venue, session.symbols, start - LOOK_BACK, until, waits)
    priced = {
        place
        for symbol in session.symbols
        for place in _priced(database, session, symbol, [one for one in missing if one.symbol == symbol], until)
    }
    return Settlement(
        overdue=tuple(one for one in missing if one in priced),
        without_price=tuple(one for one in missing if one not in priced),
    )


def _priced(
    database: Database, session: Session, symbol: str, missing: list[Unsettled], until: datetime
) -> list[Unsettled]:
    """Those of `missing`, all of `symbol`, that could be settled from what is stored."""
    if not missing:
        return []
    times = sorted({one.as_of for one in missing})
    last = times[-1] + timedelta(hours=max(_HORIZONS)) + 2 * LONGEST_WAIT
    with database.connection() as connection:
        candles = decision_candles(connection, session.venue, symbol, times[0], last)
    found = settle(
        candles,
        symbol,
        times,
        horizons=_HORIZONS,
        now=until,
        grace=session.settings.profile.decisions.grace,
        round_trip_cost=session.round_trip_cost,
    )
    return [Unsettled(symbol, as_of, hours) for as_of, hours in found.select("as_of", "horizon_hours").iter_rows()]
