"""Files of past news: the recorded ones import, assumed first sights say so, broken ones are refused."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.news.news_files import NewsFile, NewsKind, read_news_file

pytestmark = pytest.mark.unit

NOON = datetime(2024, 8, 5, 12, 30, tzinfo=UTC)


def write(place: Path, rows: list[dict[str, object]]) -> Path:
    frame = pl.DataFrame(rows)
    (frame.write_parquet if place.suffix == ".parquet" else frame.write_csv)(place)
    return place


@pytest.mark.parametrize("name", ["news.parquet", "news.csv"])
def test_headlines_of_a_file(tmp_path: Path, name: str) -> None:
    """M6: an archive cannot know when we would have seen a headline, so every row must say that it assumes."""
    found = read_news_file(
        write(
            tmp_path / name,
            [
                {"time": NOON, "headline": "<b>Up</b>", "source": "Coin", "url": "https://coin.example/1", "mood": 1},
                {"time": NOON, "headline": "<b>Up</b>", "source": "Coin", "url": "https://coin.example/1", "mood": 1},
                {"time": NOON, "headline": None, "source": "Coin", "url": None, "mood": 0},
                {"time": NOON + timedelta(hours=1), "headline": "up", "source": None, "url": "javascript:x", "mood": 2},
            ],
        )
    )
    assert (found.kind, found.rows, found.left_out, found.repeated, found.ignored) == (
        NewsKind.HEADLINES, 4, 1, 1, ("mood",),
    )  # fmt: skip
    first, copy = found.headlines
    assert (first.title, first.source, first.link) == ("Up", "Coin", "https://coin.example/1")
    assert (first.first_seen_at, first.published_at, first.first_seen_assumed) == (NOON, NOON, True)
    assert (copy.source, copy.link, copy.story) == ("archive", None, first.headline_id)


def test_a_day_without_a_time_counts_from_its_end(tmp_path: Path) -> None:
    """M6: an archive that knows the day only would else tell the news of an evening to the morning before."""
    midnight = datetime(2024, 8, 5, tzinfo=UTC)
    (only,) = read_news_file(write(tmp_path / "news.parquet", [{"time": midnight, "headline": "Up"}])).headlines
    assert only.published_at == midnight
    assert only.first_seen_at == midnight + timedelta(days=1)


def test_the_index_of_a_file(tmp_path: Path) -> None:
    """M6: the index is known from its day on, and the row says that this is assumed."""
    place = write(tmp_path / "index.csv", [{"date": "2024-08-06", "value": 17}, {"date": "2024-08-05", "value": 26}])
    first, second = read_news_file(place).readings
    assert (first.published_at, first.score) == (datetime(2024, 8, 5, tzinfo=UTC), 26)
    assert first.first_seen_at == first.published_at
    assert first.first_seen_assumed
    assert second.score == 17


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"time": "2024-08-05T12:00:00Z", "headline": "a"}, {"time": "soon", "headline": "b"}], "row 2: no time"),
        ([{"time": "1970-01-01T00:00:00Z", "headline": "a"}], "row 1: 1970"),
        ([{"time": "2024-08-05T12:00:00Z", "headline": "a", "source": "Simulated news"}], "simulated"),
        ([{"date": "2024-08-05", "value": "101"}], "row 1: the index cannot be '101'"),
        ([{"date": "2024-08-05", "value": "-1"}], "row 1"),
        ([{"date": "2024-08-05", "value": None}, {"date": "2024-08-06", "value": "3"}], "row 1"),
        ([{"date": "2024-08-05", "value": "3"}, {"date": "2024-08-05", "value": "4"}], "row 2: .* twice"),
        ([{"date": "2017-08-05", "value": "3"}], "no day of the index"),
        ([{"date": "2024-08-05T03:00:00Z", "value": "3"}], "no day of the index"),
        ([{"day": "2024-08-05", "price": "3"}], "holds no news"),
    ],
)
def test_a_broken_file_is_refused_with_its_row(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    """M6, rule 10: nothing of a broken file is imported, and the reason says where it is broken."""
    with pytest.raises(InputError, match=message) as raised:
        read_news_file(write(tmp_path / "news.csv", rows))
    assert "news.csv" in str(raised.value)


def test_files_that_hold_other_things(tmp_path: Path) -> None:
    """M6: candles, pictures and nothing at all must not be taken for news, nor stop whoever asks."""
    candles = write(tmp_path / "candles.parquet", [{"time": NOON, "open": 1.0, "close": 2.0}])
    noise = tmp_path / "noise.bin"
    noise.write_bytes(bytes(range(256)))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    for place in (candles, noise, broken, tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=place.name):
            read_news_file(place)


@pytest.mark.no_cover
def test_a_small_file_cannot_become_a_large_one(tmp_path: Path) -> None:
    """Rule 4: a few kilobytes of Parquet hold as many rows as they like, and as often the same megabyte."""
    many, long = tmp_path / "many.parquet", tmp_path / "long.parquet"
    pl.select(time=pl.lit("2024-08-05"), headline=pl.repeat("a", 1_000_001)).write_parquet(many)
    with pytest.raises(InputError, match="1,000,001 rows, more than"):
        read_news_file(many)
    headline = pl.repeat("a" * 100_000, 3_000)
    pl.select(time=pl.lit("2024-08-05T12:00:00Z"), headline=headline).write_parquet(long)
    assert long.stat().st_size < 5_000_000
    tracemalloc.start()
    found = read_news_file(long)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.repeated == 2_999
    assert most < 50_000_000


@pytest.mark.no_cover
def test_a_file_that_breaks_the_reader_is_refused(tmp_path: Path) -> None:
    """Rule 4: polars panics over some damaged files, which is no error that anybody catches by chance."""
    place = tmp_path / "news.parquet"
    pl.select(time=pl.lit("2024-08-05T12:00:00Z"), headline=pl.repeat("abc", 1000)).write_parquet(place)
    whole = place.read_bytes()
    draw = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(whole)
        for position in draw.integers(4, len(whole), size=3):
            damaged[position] = draw.integers(256)
        place.write_bytes(damaged)
        try:
            read_news_file(place)
        except InputError as error:
            assert "news.parquet" in str(error)  # noqa: PT017 - most damage is refused, some is not seen


@pytest.mark.no_cover
def test_recorded_headlines(recorded_data: Path) -> None:
    """Issue 3, hold point 1: the recorded archives import whole; rows without a title are counted, not forgotten."""
    found = _of(recorded_data, "cryptonews_2021-10_2022-07.parquet")
    assert (found.rows, len(found.headlines), found.left_out) == (7524, 7496, 28)
    other = _of(recorded_data, "crypto_news_sentiment_2024-03_2024-05.parquet")
    assert (other.rows, len(other.headlines) + other.repeated, other.left_out) == (835, 835, 0)
    for one in (*found.headlines, *other.headlines):
        assert one.first_seen_assumed
        assert one.first_seen_at - one.published_at in {timedelta(0), timedelta(days=1)}
        assert one.title.isprintable()


def test_the_recorded_index(recorded_data: Path) -> None:
    """Issue 3, hold point 1: 2,703 days, and the four that are missing stay missing."""
    found = _of(recorded_data, "fear_greed_index_2018-02_2025-06.csv")
    days = [one.published_at for one in found.readings]
    assert (len(days), days[0], days[-1]) == (
        2703, datetime(2018, 2, 1, tzinfo=UTC), datetime(2025, 6, 30, tzinfo=UTC),
    )  # fmt: skip
    assert (days[-1] - days[0]).days + 1 - len(days) == 4


def _of(recorded_data: Path, name: str) -> NewsFile:
    place = recorded_data / "news" / name
    return read_news_file(place)
