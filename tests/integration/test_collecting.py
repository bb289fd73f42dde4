"""The collection of candles by REST: what it brings, and what it says where a venue fails."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from candle_frames import START
from doubt_frames import MINUTE, quiet
from repair_cases import BTC, ETH, quick_settings
from rollup_checks import rolled_up

from assets.market import candles
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError, PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.feed import Collected, collect_all
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.candles import read_candles
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

MIDNIGHT = START + timedelta(days=1)
NOW = MIDNIGHT + timedelta(minutes=5, seconds=30)
FRAME = quiet(1440 + 60)
SYMBOLS = (BTC, ETH, "SOL/USDT", "XRP/USDT", "ADA/USDT")
LIVE = Session("paper", "binance", SYMBOLS, replay=False, settings=quick_settings(), clock=ReplayClock(NOW))
DOWN = TransientError("the venue does not answer")


@dataclass(frozen=True)
class PartlyDown:
    """A feed with the same candles for every symbol, but for those that fail."""

    errors: Mapping[str, Exception]
    source = "rest"

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """The candles, or the error."""
        if symbol in self.errors:
            raise self.errors[symbol]
        return FRAME.filter(pl.col("opened_at").is_between(start, end, closed="left"))

    def headlines(self, start: datetime, end: datetime) -> tuple[()]:  # noqa: ARG002
        """None."""
        return ()


def _collect(database: Database, errors: Mapping[str, Exception], now: datetime = NOW, day: int = 1) -> Collected:
    start = START + timedelta(days=day)
    session = replace(LIVE, clock=ReplayClock(now))
    return collect_all(database, session, PartlyDown(errors), start, start + timedelta(days=1))


def _stored(database: Database, symbol: str = BTC) -> pl.DataFrame:
    with database.connection() as connection:
        return read_candles(connection, "binance", symbol, Timeframe.M1, START, MIDNIGHT + timedelta(days=1))


def test_the_first_run_of_a_day_closes_the_day_before(database: Database) -> None:
    """M1: the last run of a day comes before its last minutes; every midnight's decisions would see a cut hour."""
    _collect(database, {}, MIDNIGHT - 5 * MINUTE + timedelta(seconds=1), day=0)
    assert _stored(database).height < 1440
    _collect(database, {})
    assert _stored(database).equals(FRAME.head(1445))
    assert rolled_up(database, "binance", BTC, FRAME.head(1445))


@pytest.mark.parametrize("error", [DOWN, PermanentError("refused"), InputError("no such symbol")])
def test_a_symbol_that_fails_hides_no_other(database: Database, error: Exception) -> None:
    """M2, rule 4: one delisted symbol must not stop the decisions on all; and it did not deliver nothing, it failed."""
    collected = _collect(database, {ETH: error})
    assert collected.failures == {ETH: str(error)}
    assert set(collected.counts) == set(SYMBOLS) - {ETH}
    assert _stored(database).height == 65
    assert _stored(database, ETH).is_empty()


def test_a_venue_that_is_down_is_not_asked_for_every_symbol(database: Database) -> None:
    """M7: each failure takes its attempts, and with two hundred symbols decisions would come too late."""
    collected = _collect(database, dict.fromkeys(SYMBOLS[1:4], DOWN))
    assert set(collected.counts) == {BTC}
    assert collected.failures["ADA/USDT"] == "not asked for: 3 symbols before it failed in a row"


def test_a_database_that_is_down_fails_the_run(database: Database) -> None:
    """Rule 4: where nothing can be stored, nothing may go on as if it had been."""
    with pytest.raises(UnavailableError):
        _collect(database, {ETH: UnavailableError("gone")})


def test_the_page_tells_what_was_not_delivered_and_the_run_goes_on(database: Database) -> None:
    """M7: the stream or the backup may have fresh data, so decisions go on, and a person sees what failed."""
    for errors in ({}, dict.fromkeys(SYMBOLS, DOWN)):
        result = dg.materialize(
            [candles],
            partition_key="2024-08-06",
            resources={"database": database, "session": LIVE, "feed": PartlyDown(errors)},
        )
        assert result.success
        checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
        assert checks["contract"].passed
        assert checks["delivered"].passed == (not errors)
        assert not checks["delivered"].blocking
        assert checks["delivered"].severity is dg.AssetCheckSeverity.WARN
        (made,) = result.asset_materializations_for_node("candles")
        assert made.metadata["dagster/row_count"].value == 5 * len(SYMBOLS)
        assert ("does not answer" in str(made.metadata["symbols"].value)) == bool(errors)
    assert checks["delivered"].metadata[BTC].value == str(DOWN)
