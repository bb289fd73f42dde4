"""When the main venue is left for the backup, when it is taken again, and what the basis between them is."""

from datetime import UTC, datetime, timedelta

import pytest

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.failover import (
    SourceSpan,
    Switch,
    VenueHealth,
    Watched,
    basis,
    decide,
    look,
    opened_within,
    source_spans,
    venue_health,
)
from triplegain_pipelines.settings.market import FailoverSettings

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULES = FailoverSettings(unhealthy_seconds=180, quiet_minutes=15, basis_minutes=60)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def _at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def _gave(venue: str, minutes: float | None) -> VenueHealth:
    return VenueHealth(venue, None if minutes is None else _at(minutes))


def _watched_since(minutes: float, now: float, healthy_since: float | None = None) -> Watched:
    return Watched(_at(now), _at(minutes), None if healthy_since is None else _at(healthy_since))


TO_BACKUP = Switch("kraken", "binance", NOON, "silent")


def test_the_main_venue_is_left_after_its_time_and_not_a_second_before() -> None:
    """M7: too early is a change of prices for a hiccup, too late are decisions without data."""
    watched = _watched_since(-60, 3)
    left = decide(watched, None, _gave("kraken", 0), _gave("binance", 3), _at(3) + SECOND, RULES)
    assert left == Switch(
        "kraken", "binance", _at(3) + SECOND, "kraken gave no candle for 181 s; its last closed at 2026-03-02 12:00 UTC"
    )
    assert decide(watched, None, _gave("kraken", 0), _gave("binance", 3), _at(3), RULES) is None


def test_it_is_never_left_for_a_venue_that_is_no_better() -> None:
    """M7: an outage of our own network must not change the source."""
    watched = _watched_since(-60, 10)
    for backup in (None, 0, 6.99):
        assert decide(watched, None, _gave("kraken", 0), _gave("binance", backup), _at(10), RULES) is None
    assert decide(watched, None, _gave("kraken", 0), _gave("binance", 7), _at(10), RULES) is not None


def test_what_was_silent_before_we_listened_is_not_held_against_it() -> None:
    """M7: after a night without the service both venues are old, and the first to answer must not win."""
    silent, backup = _gave("kraken", -600), _gave("binance", 0)
    assert decide(_watched_since(0, 0), None, silent, backup, _at(0), RULES) is None
    assert decide(_watched_since(0, 3), None, silent, _gave("binance", 3), _at(3), RULES) is None
    assert decide(_watched_since(0, 4), None, silent, _gave("binance", 4), _at(4), RULES) is not None
    never = decide(_watched_since(0, 4), None, _gave("kraken", None), _gave("binance", 4), _at(4), RULES)
    assert never is not None
    assert never.reason == "kraken gave no candle for 240 s; it has none"


def test_it_is_taken_again_after_the_quiet_time() -> None:
    """M7: a venue that comes and goes must not take the series with it."""
    main, backup = _gave("kraken", 20), _gave("binance", 20)
    back = decide(_watched_since(-60, 20, 5), TO_BACKUP, main, backup, _at(20), RULES)
    assert back == Switch("binance", "kraken", _at(20), "kraken was healthy for 900 s")
    assert decide(_watched_since(-60, 20, 5.1), TO_BACKUP, main, backup, _at(20), RULES) is None
    assert decide(_watched_since(-60, 20, None), TO_BACKUP, main, backup, _at(20), RULES) is None
    sick = _gave("kraken", 16.9)
    assert decide(_watched_since(-60, 20, 5), TO_BACKUP, sick, backup, _at(20), RULES) is None


def test_the_quiet_time_begins_with_the_switch() -> None:
    """M7: another process switched while this one saw a healthy venue; the two must not throw it to and fro."""
    main, backup = _gave("kraken", 14), _gave("binance", 14)
    assert decide(_watched_since(-60, 14, -60), TO_BACKUP, main, backup, _at(14), RULES) is None
    assert decide(_watched_since(-60, 15, -60), TO_BACKUP, main, backup, _at(15), RULES) is not None


def test_a_clock_that_went_back_switches_nothing() -> None:
    """M7: a switch before the last one would change what past decisions saw."""
    watched = _watched_since(-600, -1, -600)
    assert decide(watched, TO_BACKUP, _gave("kraken", -1), _gave("binance", -1), _at(-1), RULES) is None


def test_looks_that_follow_each_other_are_one_watch() -> None:
    """M7: the quiet time counts from the first healthy look and begins anew after each unhealthy one."""
    watched = None
    for minute, closed in ((0, 0), (1, 1), (2, 2), (6, 2), (7, 7), (8, 8)):
        watched = look(watched, _gave("kraken", closed), _at(minute), RULES)
    assert watched == Watched(_at(8), _at(0), _at(7))


@pytest.mark.parametrize("later", [timedelta(minutes=4, microseconds=1), -SECOND])
def test_what_nobody_watched_is_not_known_to_be_healthy(later: timedelta) -> None:
    """M7: a process that hung for an hour has not seen the venue healthy for an hour."""
    before = _watched_since(-60, 0, -30)
    now = _at(0) + later
    assert look(before, VenueHealth("kraken", now), now, RULES) == Watched(now, now, now)


def test_the_youngest_closed_candle_of_any_symbol_is_the_health() -> None:
    """M7: a thin market without trades is no outage, and a candle from the future is no sign of health."""
    closes = {"BTC/USDT": _at(-5), "ETH/USDT": _at(-1), "SOL/USDT": _at(1)}
    assert venue_health("kraken", closes, NOON) == _gave("kraken", -1)
    assert venue_health("kraken", {}, NOON) == VenueHealth("kraken", None)
    assert not VenueHealth("kraken", None).healthy(NOON, RULES)


def test_the_basis_is_the_median_over_common_minutes() -> None:
    """M7: one wild minute must not pass for the difference between two venues. Worked by hand."""
    leaving = {_at(minute): 100.0 for minute in range(4)}
    entering = {_at(0): 101.0, _at(1): 102.0, _at(2): 500.0, _at(9): 1.0}
    assert basis(leaving, entering) == pytest.approx(0.02)
    assert basis(leaving, {_at(9): 1.0}) is None
    assert basis({}, {}) is None


def test_a_candle_belongs_to_the_source_at_its_close() -> None:
    """M7: the candle that closes as the switch is made is the old source's; the next one is the new source's."""
    spans = source_spans("kraken", [Switch("kraken", "binance", _at(3), "")], _at(0), _at(10))
    assert spans == [SourceSpan("kraken", _at(0), _at(3)), SourceSpan("binance", _at(3), _at(10))]
    old, new = spans
    assert opened_within(old, Timeframe.M1, _at(0), _at(9)) == (_at(0), _at(2) + timedelta.resolution)
    assert opened_within(new, Timeframe.M1, _at(0), _at(9)) == (_at(2) + timedelta.resolution, _at(9))
    assert opened_within(new, Timeframe.M5, _at(0), _at(9))[0] == _at(0)


def test_without_a_switch_the_market_is_its_own_source() -> None:
    """M7: the ordinary case."""
    assert source_spans("kraken", [], _at(0), _at(1)) == [SourceSpan("kraken", _at(0), _at(1))]
    assert source_spans("kraken", [], _at(0), _at(0)) == []
