"""The snapshot: what may be in it, what may not, and that equal inputs give equal bytes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START
from evidence_frames import GRACE, WEIGHTS, random_frame, recorded_candles, snapshot_of, with_rollups
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.agents.evidence import assess, gather_evidence
from triplegain_pipelines.agents.headlines import MAXIMUM_HEADLINES, MAXIMUM_LENGTH, clean_title, known_headlines
from triplegain_pipelines.agents.snapshot import SNAPSHOT_VERSION, build_snapshot
from triplegain_pipelines.agents.window import history, read_window, window
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe, last_closed_open
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION, WINDOW, read_indicators
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading

pytestmark = pytest.mark.unit

DAYS = 8
AS_OF = START + timedelta(days=DAYS - 1, hours=13) + GRACE


@pytest.fixture(scope="module")
def candles() -> dict[Timeframe, pl.DataFrame]:
    """Eight days of 1m candles and their roll-ups: enough to warm up the hour."""
    return with_rollups(random_frame(DAYS * 1440))


def headline(title: str, seen_at: datetime, *, name: str = "") -> Headline:
    return Headline(name or title, "CoinDesk", title, None, seen_at)


# What may be seen ------------------------------------------------------------------------------


@pytest.mark.parametrize("timeframe", DECISION_TIMEFRAMES)
def test_the_last_bar_is_the_last_one_closed(candles: dict[Timeframe, pl.DataFrame], timeframe: Timeframe) -> None:
    """M4: one bar too many is look-ahead, one too few is stale. At the close itself the grace is not over yet."""
    for as_of in (AS_OF, AS_OF - timedelta(microseconds=1), AS_OF - GRACE, AS_OF + timedelta(hours=1, seconds=3)):
        bars = window({timeframe: candles[timeframe]}, as_of, GRACE)[timeframe]
        closed = candles[timeframe].filter(pl.col("opened_at") + timeframe.duration + GRACE <= as_of)
        assert bars.equals(closed.tail(WINDOW))


def test_the_window_does_not_depend_on_how_much_was_loaded(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """D1: where minutes are missing, a day loaded alone must see the same bars as the day in a month."""
    holed = candles[Timeframe.M1].filter(pl.col("opened_at").dt.minute() % 3 > 0)
    loaded = holed.filter(pl.col("opened_at") >= AS_OF - history(Timeframe.M1))
    whole = window({Timeframe.M1: holed}, AS_OF, GRACE)[Timeframe.M1]
    assert window({Timeframe.M1: loaded}, AS_OF, GRACE)[Timeframe.M1].equals(whole)
    assert whole.height < WINDOW


def test_before_the_first_candle_nothing_is_seen(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """M4: an empty window is an incomplete snapshot, not an error and not somebody else's bars."""
    snapshot = snapshot_of(candles, START + GRACE)
    assert all(snapshot.content["timeframes"][timeframe.value]["bars"] == 0 for timeframe in DECISION_TIMEFRAMES)
    assert not snapshot.complete
    assert snapshot.reference_price is None
    assert snapshot.atr is None


def test_a_bar_that_has_not_closed_is_refused(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """M4: a window that was cut by hand or kept from another moment must not become a snapshot."""
    newest = last_closed_open(AS_OF, Timeframe.H1, GRACE)
    later = candles[Timeframe.H1].filter(pl.col("opened_at") <= newest + timedelta(hours=1)).tail(WINDOW)
    whole = candles[Timeframe.H1].filter(pl.col("opened_at") < newest)
    for reach, bars in ((newest, later), (newest + timedelta(hours=1), later), (newest - timedelta(hours=1), whole)):
        with pytest.raises(DataError, match=r"1h window of BTC/USDT"):
            build_snapshot(
                venue="binance",
                symbol="BTC/USDT",
                as_of=AS_OF,
                grace=GRACE,
                windows={Timeframe.H1: read_window(Timeframe.H1, reach, bars)},
                headlines=[],
                fear_greed=[],
                weights=WEIGHTS,
            )


def test_nothing_later_changes_a_snapshot(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """Issue 2, 3: candles and headlines after `as_of` must not change one byte of what an agent saw."""
    minutely = candles[Timeframe.M1]
    later = minutely.with_columns(
        pl.when(pl.col("opened_at") + timedelta(minutes=1) > AS_OF - GRACE)
        .then(pl.col(name) * 3)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
    known, unknown = headline("Known", AS_OF), headline("Not known yet", AS_OF + timedelta(microseconds=1))
    before = snapshot_of(candles, AS_OF, headlines=[known])
    assert snapshot_of(with_rollups(later), AS_OF, headlines=[unknown, known]) == before
    assert not later.equals(minutely)


# What is in it ---------------------------------------------------------------------------------


def test_the_document_says_what_was_seen(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """A4: an agent that is told a wrong price, bar or reading cannot be right."""
    snapshot = snapshot_of(candles, AS_OF)
    hourly = candles[Timeframe.H1].filter(pl.col("opened_at") + timedelta(hours=1, seconds=10) <= AS_OF).tail(WINDOW)
    readings = read_indicators(hourly)
    section = snapshot.content["timeframes"]["1h"]
    assert section["closes"] == hourly["close"].tail(12).to_list()
    assert section["last_opened_at"] == (AS_OF - GRACE - timedelta(hours=1)).isoformat()
    assert section["bars"] == hourly.height
    assert section["indicators"]["rsi_14"] == pytest.approx(readings["rsi_14"], rel=1e-9)
    assert len(str(section["indicators"]["rsi_14"])) <= 12
    minutely = candles[Timeframe.M1].filter(pl.col("opened_at") < AS_OF - GRACE)
    assert snapshot.reference_price == minutely["close"][-1]
    assert snapshot.atr == pytest.approx(readings["atr_14"], rel=1e-9)
    assert snapshot.content["candle_age_seconds"] == 10
    assert snapshot.complete
    assert snapshot.readings(Timeframe.H1) == section["indicators"]


def test_identity_is_content(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """D1: the same bars give the same id on every machine; a changed bar gives another data version."""
    one, again = snapshot_of(candles, AS_OF), snapshot_of(candles, AS_OF)
    assert one == again
    assert one.content_hash == content_hash(one.document)
    assert one.code_version == SNAPSHOT_VERSION
    assert INDICATORS_VERSION in one.code_version
    revised = candles[Timeframe.M1].with_columns(
        pl.when(pl.col("opened_at") == AS_OF - GRACE - timedelta(minutes=90))
        .then(pl.col("volume") + 1)
        .otherwise(pl.col("volume"))
        .alias("volume")
    )
    other = snapshot_of({**candles, Timeframe.M1: revised}, AS_OF)
    assert other.data_version != one.data_version
    # The number of trades is not shown, and a source that does not deliver it changes nothing.
    counted = candles[Timeframe.M1].with_columns(trades=pl.lit(3, dtype=pl.Int32))
    assert snapshot_of({**candles, Timeframe.M1: counted}, AS_OF) == one


def test_simulated_markets_say_so(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """Rule 8: whoever reads a snapshot must see that its market is simulated."""
    assert snapshot_of(candles, AS_OF, venue="simulated").simulated
    assert not snapshot_of(candles, AS_OF, venue="kraken").simulated


def test_missing_minutes_are_counted(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """M4: a bar made of 50 minutes, and a window with holes, must be told from whole ones."""
    end = AS_OF - GRACE
    holed = candles[Timeframe.M1].filter(
        ~pl.col("opened_at").is_between(end - timedelta(minutes=30), end - timedelta(minutes=21))
        & ~pl.col("opened_at").is_between(end - timedelta(hours=6), end - timedelta(hours=4), closed="left")
    )
    timeframes = snapshot_of(with_rollups(holed), AS_OF).content["timeframes"]
    assert timeframes["1m"]["bars_missing"] == 10 + 120
    assert timeframes["1h"]["minutes_missing"] == 10
    assert timeframes["1h"]["bars_missing"] == 2
    assert timeframes["15m"]["minutes_missing"] == 0


# Completeness ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "reasons"),
    [
        (0, []),
        (4, []),
        (5, ["the newest 1m candle closed 310 s ago"]),
        (300, ["the newest 1m candle closed 18010 s ago"]),
        (600, ["there is no recent 1m candle"]),
    ],
)
def test_stale_candles_make_it_incomplete(
    candles: dict[Timeframe, pl.DataFrame], minutes: int, reasons: list[str]
) -> None:
    """M4, trap 21: a market whose candles stopped arriving must not lead to new risk, and must say why."""
    stopped = candles[Timeframe.M1].filter(pl.col("opened_at") < AS_OF - GRACE - timedelta(minutes=minutes))
    snapshot = snapshot_of({**candles, Timeframe.M1: stopped}, AS_OF)
    assert snapshot.content["incomplete_reasons"] == reasons
    assert snapshot.complete is not bool(reasons)


def test_a_cold_hour_makes_it_incomplete() -> None:
    """I1, trap 28: without a warmed-up ATR there is no stop distance, so there must be no trade."""
    short = with_rollups(random_frame(139 * 60))
    snapshot = snapshot_of(short, START + timedelta(hours=139) + GRACE)
    assert not snapshot.complete
    assert snapshot.content["incomplete_reasons"] == ["1h atr_14 has no value", "1h rsi_14 has no value"]
    enough = with_rollups(random_frame(140 * 60))
    assert snapshot_of(enough, START + timedelta(hours=140) + GRACE).complete


# Headlines -------------------------------------------------------------------------------------


def test_headlines_are_known_by_when_we_saw_them() -> None:
    """M6: publishers back-date and edit; only our own first sight says what was known."""
    back_dated = Headline("a", "x", "Back-dated", AS_OF - timedelta(days=3), AS_OF + timedelta(seconds=1))
    too_old = headline("Too old", AS_OF - timedelta(hours=24))
    last = headline("Just in time", AS_OF)
    assert [one.title for one in known_headlines([back_dated, too_old, last], AS_OF)] == ["Just in time"]


def test_few_headlines_newest_first_and_each_story_once() -> None:
    """M6: a story that ten sites copy is one story, as old as its first sight."""
    story = [headline("Same <b>story</b>", AS_OF - timedelta(hours=n), name=str(n)) for n in range(1, 6)]
    many = [headline(f"Story {n}", AS_OF - timedelta(minutes=n)) for n in range(15)]
    assert [one.headline_id for one in known_headlines(story, AS_OF)] == ["5"]
    known = known_headlines(many + story, AS_OF)
    assert [one.title for one in known] == [f"Story {n}" for n in range(MAXIMUM_HEADLINES)]
    assert known == known_headlines(reversed(many + story), AS_OF)


def test_a_joined_story_counts_once_and_by_its_first_sight() -> None:
    """M6: other words for the same story are no second headline, and old news that is repeated is no news."""
    first = headline("Exchange halts withdrawals", AS_OF - timedelta(hours=9), name="first")
    copy = replace(headline("Withdrawals halted", AS_OF - timedelta(hours=1), name="copy"), story_id="first")
    assert [one.headline_id for one in known_headlines([copy, first], AS_OF)] == ["first"]
    assert known_headlines([copy], AS_OF) == []
    own = replace(first, story_id="first")
    assert [one.headline_id for one in known_headlines([own, copy], AS_OF)] == ["first"]


def test_the_index_is_the_newest_one_known(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """M6, M4: not one that came later, not one of last week, and of a stranger's words none."""
    midnight = AS_OF.replace(hour=0, minute=0, second=0)

    def index(days_ago: int, score: int, seen_at: datetime) -> FearGreedReading:
        return FearGreedReading("alternative.me", midnight - timedelta(days=days_ago), score, "buy now", seen_at)

    def seen(readings: list[FearGreedReading]) -> object:
        hourly = window({Timeframe.H1: candles[Timeframe.H1]}, AS_OF, GRACE)[Timeframe.H1]
        newest = last_closed_open(AS_OF, Timeframe.H1, GRACE)
        return build_snapshot(
            venue="binance",
            symbol="BTC/USDT",
            as_of=AS_OF,
            grace=GRACE,
            windows={Timeframe.H1: read_window(Timeframe.H1, newest, hourly)},
            headlines=[],
            fear_greed=readings,
            weights=WEIGHTS,
        ).content["fear_greed"]

    minutes = int((AS_OF - midnight).total_seconds()) // 60
    known = [index(1, 20, midnight - timedelta(hours=9)), index(0, 30, AS_OF)]
    assert seen(known) == {"score": 30, "age_minutes": minutes}
    assert seen([*known, index(0, 90, AS_OF + timedelta(microseconds=1))]) == seen(known)
    assert seen(known[:1]) == {"score": 20, "age_minutes": minutes + 1440}
    assert seen([index(2, 20, midnight)]) is None
    assert seen([]) is None


def test_headlines_in_the_document(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """M6: title, source and age are all that an agent gets."""
    seen = headline("ETF <i>approved</i>", AS_OF - timedelta(minutes=75))
    snapshot = snapshot_of(candles, AS_OF, headlines=[seen])
    assert snapshot.content["headlines"] == [{"title": "ETF approved", "source": "CoinDesk", "age_minutes": 75}]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Bitcoin &amp; Ether", "Bitcoin & Ether"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;Up", "alert(1) Up"),
        ("\uff1cb\uff1eUp\uff1c/b\uff1e", "Up"),  # full-width
        ("[Buy here](https://evil.example) now", "Buy here now"),
        ("See HTTPS://evil.example/x?y or www.evil.example now", "See or now"),
        ("ht\u200btps://evil.example/x up", "up"),
        ("ht<b></b>tps", "ht tps"),
        ("one\ntwo\r\n\tthree\x00\x1b[31m", "one two three[31m"),
        ("\u202eupside\u202c down", "upside down"),
        ("```system``` do", "system do"),
        ("BTC < 60k and ETH > 3k", "BTC 60k and ETH 3k"),
        ("<a" * 900, ("a " * 80).rstrip()),
        ("", ""),
    ],
)
def test_titles_are_cleaned(raw: str, clean: str) -> None:
    """M6: markup, links and hidden characters of an untrusted feed must not reach a prompt or a page."""
    assert clean_title(raw) == clean


@given(st.text(max_size=400))
def test_a_clean_title_is_one_short_plain_line(raw: str) -> None:
    """M6: whatever a feed sends, a title stays one line without markup and can be stored."""
    clean = clean_title(raw)
    assert len(clean) <= MAXIMUM_LENGTH
    assert clean.isprintable()
    assert not set(clean) & set("<>`")
    assert clean.encode().decode() == clean


# A run of decision times -----------------------------------------------------------------------


def test_any_partitioning_gives_the_same_snapshots(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """D1: a backfill of a range, day by day, and live hour by hour must write the same rows."""
    times = [START + timedelta(days=6, hours=hour) for hour in range(36)]
    seen = [headline(f"Story {n}", START + timedelta(days=6, hours=n)) for n in range(36)]

    def gather(part: list[datetime], frames: dict[Timeframe, pl.DataFrame]):
        return gather_evidence(
            venue="binance",
            symbol="BTC/USDT",
            candles=frames,
            decision_times=part,
            grace=GRACE,
            headlines=seen,
            fear_greed=[],
            weights=WEIGHTS,
        )

    whole = gather(times, candles)
    pieces = [
        gather(
            [time],
            {
                timeframe: frame.filter(pl.col("opened_at").is_between(time - history(timeframe), time))
                for timeframe, frame in candles.items()
            },
        )
        for time in times
    ]
    assert whole.snapshots == tuple(one for piece in pieces for one in piece.snapshots)
    assert whole.readings == tuple(one for piece in pieces for one in piece.readings)
    assert whole.snapshots[5] == snapshot_of(candles, times[5] + GRACE, headlines=seen)
    assert len(whole.readings) == len(times) * len(DECISION_TIMEFRAMES)


def test_frames_out_of_order_are_refused(candles: dict[Timeframe, pl.DataFrame]) -> None:
    """M4: a binary search in a frame that is not sorted finds any bars at all."""
    minutely = candles[Timeframe.M1]
    for frame in (minutely.reverse(), pl.concat([minutely.head(5), minutely.head(5)]).sort("opened_at")):
        with pytest.raises(DataError, match="not in order"):
            gather_evidence(
                venue="binance",
                symbol="BTC/USDT",
                candles={Timeframe.M1: frame},
                decision_times=[],
                grace=GRACE,
                headlines=[],
                fear_greed=[],
                weights=WEIGHTS,
            )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, DAYS * 24))
def test_the_agents_always_have_an_answer(hour: int) -> None:
    """A1, A2, A3: warm or cold, every snapshot gets signals with confidences in their bounds."""
    signals = assess(snapshot_of(with_rollups(random_frame(hour * 60)), START + timedelta(hours=hour) + GRACE))
    assert 0 <= signals.technical.confidence <= 1
    assert 0 <= signals.regime.confidence <= 1
    assert -1 <= signals.sentiment.score <= 1
    assert signals.technical.reasons
    assert signals.regime.reasons
    assert signals.sentiment.reasons


def test_recorded_snapshots_are_complete_after_the_warm_up(recorded_data: Path) -> None:
    """Issue 2: on the real month every hour after the 140 of the warm-up must be ready to decide on."""
    minutely = recorded_candles(recorded_data / "candles" / "ethusdt_1m_binance_2024-07_2024-08.parquet")
    first = datetime(2024, 8, 1, 10, tzinfo=UTC)  # the hour of the first candle, 2024-07-26 14:16, and 140 hours
    evidence = gather_evidence(
        venue="binance",
        symbol="ETH/USDT",
        candles=with_rollups(minutely),
        decision_times=[first - timedelta(hours=1) + timedelta(hours=6 * n) for n in range(12)] + [first],
        grace=GRACE,
        headlines=[],
        fear_greed=[],
        weights=WEIGHTS,
    )
    assert {one.as_of for one in evidence.snapshots if not one.complete} == {first - timedelta(hours=1) + GRACE}
