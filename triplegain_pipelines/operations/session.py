"""For whom and on which market a run works: the account, the venue, its symbols and the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.execution.desk import LIVE, PAPER
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE, quote_currency


@dataclass(frozen=True, slots=True)
class Session:
    """What every asset and op of one run has in common.

    `replay` is True where history is worked through again: then nothing is fetched from a venue and no
    decision is handed to the execution sensor.
    """

    account: str
    venue: str
    symbols: tuple[str, ...]
    replay: bool
    settings: Settings
    clock: Clock

    @property
    def simulated(self) -> bool:
        """Whether the market is a simulated one, which every output must say."""
        return self.venue == SIMULATED_VENUE

    @property
    def live(self) -> bool:
        """Whether the account trades real money, once it is armed. A replay of a live profile trades on paper."""
        return self.settings.profile.live is not None and not self.replay

    @property
    def schema(self) -> str:
        """The schema of the account's books."""
        return LIVE if self.live else PAPER

    @property
    def baseline_seats(self) -> bool:
        """Whether baselines sit in the seats, which every output must say."""
        return self.settings.models.offline

    @property
    def venues(self) -> tuple[str, ...]:
        """Where the market's data may come from: the venue, and its backup where one is followed."""
        backup = None if self.replay or self.simulated else self.settings.profile.backup_venue
        return (self.venue, backup) if backup and backup != self.venue else (self.venue,)

    @property
    def round_trip_cost(self) -> float:
        """Fee and slippage of an entry and its exit, as a share of the entry: those that the account pays."""
        profile = self.settings.profile
        fee_bps = profile.live.fee_bps if self.live and profile.live is not None else profile.paper.fee_bps
        return float(2 * (fee_bps + profile.paper.slippage_bps) / 10_000)

    @property
    def currency(self) -> str:
        """The currency of the account."""
        return quote_currency(self.symbols)

    @property
    def starting_cash(self) -> Decimal:
        """What the account starts with, in its currency."""
        return self.settings.profile.paper.starting_cash


def replay_account(settings: Settings, venue: str, symbols: Sequence[str], first: date, last: date) -> str:
    """The account of a replay: the same question has the same account, so that it is answered once."""
    question = [venue, sorted(symbols), first.isoformat(), last.isoformat(), settings.config_hash]
    return f"replay-{content_hash(question)[:12]}"


def decision_times(start: datetime, end: datetime, settings: Settings) -> list[datetime]:
    """Every point of the decision grid with start <= point < end, oldest first; each is seen a grace later."""
    step = settings.profile.decisions.interval
    first = floor_to(start, step)
    first = first if first == start else first + step
    return [first + number * step for number in range(max(0, -((first - end) // step)))]
