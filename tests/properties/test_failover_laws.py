"""Laws of the failover, whatever the two venues do: never to a sick venue, never faster to and fro than the rule."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe, floor_to
from triplegain_pipelines.market.failover import (
    Switch,
    VenueHealth,
    Watched,
    decide,
    look,
    opened_within,
    source_spans,
)
from triplegain_pipelines.settings.market import FailoverSettings

pytestmark = pytest.mark.unit

START = datetime(2026, 3, 2, tzinfo=UTC)
MAIN, BACKUP = "kraken", "binance"

rules = st.builds(
    FailoverSettings,
    unhealthy_seconds=st.integers(60, 400),
    quiet_minutes=st.integers(1, 20),
    basis_minutes=st.just(60),
)
# Stretches of looks: how many seconds apart, and whether each venue gives candles in the meantime.
looks = st.lists(
    st.tuples(st.sampled_from([20, 60, 60, 60, 61, 600]), st.booleans(), st.booleans(), st.integers(1, 25)),
    min_size=1,
    max_size=12,
).map(lambda stretches: [(seconds, main, backup) for seconds, main, backup, count in stretches for _ in range(count)])


class Watch:
    """Both venues and the machine that follows them, as the stream service calls it."""

    def __init__(self, settings: FailoverSettings) -> None:
        self.settings, self.now = settings, START
        self.healths = {MAIN: VenueHealth(MAIN, None), BACKUP: VenueHealth(BACKUP, None)}
        self.watched: Watched | None = None
        self.switches: list[Switch] = []

    def step(self, seconds: int, *, main: bool, backup: bool) -> Switch | None:
        """One look, so many seconds after the one before."""
        self.now += timedelta(seconds=seconds)
        for venue, gave in ((MAIN, main), (BACKUP, backup)):
            if gave:
                self.healths[venue] = VenueHealth(venue, floor_to(self.now, timedelta(minutes=1)))
        self.watched = look(self.watched, self.healths[MAIN], self.now, self.settings)
        last = self.switches[-1] if self.switches else None
        made = decide(self.watched, last, self.healths[MAIN], self.healths[BACKUP], self.now, self.settings)
        self.switches += [made] if made else []
        return made

    def age(self, venue: str) -> timedelta:
        """How old the venue's newest candle is."""
        newest = self.healths[venue].newest_close
        return timedelta.max if newest is None else self.now - newest


@given(rules, looks)
def test_no_switch_leads_to_a_sick_venue_or_leaves_a_well_one(settings: FailoverSettings, steps: list) -> None:
    """M7: the source after a switch gives candles, and the main venue is left only when it does not."""
    watch, source = Watch(settings), MAIN
    for seconds, main, backup in steps:
        made = watch.step(seconds, main=main, backup=backup)
        if made is None:
            continue
        assert (made.from_venue, made.switched_at) == (source, watch.now)
        assert made.to_venue in {MAIN, BACKUP} - {source}
        assert watch.age(made.to_venue) <= settings.unhealthy
        assert made.to_venue == MAIN or watch.age(MAIN) > settings.unhealthy
        source = made.to_venue


@given(rules, looks)
def test_it_goes_to_and_fro_no_faster_than_the_rule(settings: FailoverSettings, steps: list) -> None:
    """M7: the quiet time lies between leaving and coming back, so between any two switches the same way too."""
    watch = Watch(settings)
    healthy_looks: list[tuple[datetime, bool]] = []
    for seconds, main, backup in steps:
        made = watch.step(seconds, main=main, backup=backup)
        healthy_looks.append((watch.now, watch.age(MAIN) <= settings.unhealthy))
        if made and made.to_venue == MAIN:
            quiet = [well for at, well in healthy_looks if at >= watch.now - settings.quiet]
            assert all(quiet)
    for left, back in pairwise(watch.switches):
        if back.to_venue == MAIN:
            assert back.switched_at - left.switched_at >= settings.quiet
    for one, other in zip(watch.switches, watch.switches[2:], strict=False):
        assert other.switched_at - one.switched_at >= settings.quiet


@given(rules, looks)
def test_a_venue_that_stays_well_is_never_left_and_one_that_stays_dead_is(
    settings: FailoverSettings, steps: list
) -> None:
    """M7: the rule must act in both directions, not only hold still."""
    well, dead = Watch(settings), Watch(settings)
    for _ in range(60):
        assert well.step(60, main=True, backup=True) is None
        dead.step(60, main=False, backup=True)
    assert [one.to_venue for one in dead.switches] == [BACKUP]
    for seconds, _, backup in steps:
        assert dead.step(seconds, main=False, backup=backup) is None


# In tenths of a second; every other one on the grid of minutes, where a candle closes.
tenths_of_days = st.one_of(
    st.integers(-600, 3 * 86_400 * 10), st.integers(-1, 3 * 1440).map(lambda minute: minute * 600)
)
switch_times = st.lists(tenths_of_days, unique=True, max_size=12).map(sorted)


@given(switch_times, st.sampled_from(DECISION_TIMEFRAMES), st.integers(0, 2 * 1440), st.integers(1, 1440))
def test_every_candle_of_the_series_comes_from_exactly_one_venue(
    tenths: list[int], timeframe: Timeframe, first: int, count: int
) -> None:
    """M7: no candle twice, none left out, and each from the venue that was the source at its close."""
    moments = [START + timedelta(seconds=tenth / 10) for tenth in tenths]
    venues = [(MAIN, BACKUP) if number % 2 == 0 else (BACKUP, MAIN) for number in range(len(moments))]
    switches = [Switch(*pair, moment, "") for pair, moment in zip(venues, moments, strict=True)]
    start = START + timedelta(minutes=first)
    end = start + timedelta(minutes=count)
    spans = source_spans(MAIN, switches, start, end + timeframe.duration)
    windows = [(span.venue, *opened_within(span, timeframe, start, end)) for span in spans]
    opened = floor_to(start, timeframe.duration)
    while opened < end + timeframe.duration:
        close = opened + timeframe.duration
        source = next((one.to_venue for one in reversed(switches) if one.switched_at < close), MAIN)
        homes = [venue for venue, begin, stop in windows if begin <= opened < stop]
        assert homes == ([source] if start <= opened < end else [])
        opened = close
