"""The import of a file of any kind: recognised by its content, checked whole, stored in one transaction."""

from dataclasses import dataclass
from pathlib import Path

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.files.content import read_content
from triplegain_pipelines.market.files.kinds import FileKind, Shape, require_kind
from triplegain_pipelines.market.files.quote_files import read_quote_file
from triplegain_pipelines.market.files.shapes import shape_of
from triplegain_pipelines.operations.archive_import import import_archive
from triplegain_pipelines.operations.import_summary import ImportSummary
from triplegain_pipelines.operations.news import NewsImport, import_news
from triplegain_pipelines.operations.trade_import import import_trades
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.top_of_book import upsert_quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteSummary(ImportSummary):
    """What became of a file of quotes.

    `superseded` quotes have the same time as a later one of the file; `differing` ones are of a moment that is stored
    with other values, which stay.
    """

    differing: int
    superseded: int

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return ImportSummary.document(self) | {"differing": self.differing, "superseded": self.superseded}


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a file was imported as. `left_out` is what of it was not taken, each with the reason."""

    kind: FileKind
    contents: ImportSummary | NewsImport
    left_out: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        notes = {"not_taken": list(self.left_out)} if self.left_out else {}
        return {"kind": self.kind.value, **self.contents.document(), **notes}


def import_file(
    database: Database,
    path: Path,
    *,
    clock: Clock,
    symbol: str | None = None,
    venue: str | None = None,
    timeframe: Timeframe | None = None,
) -> FileSummary:
    """Store what a file holds, all or nothing. What it holds is found from its content.

    Args:
        database: where to.
        path: candles, trades, quotes, headlines or the fear-and-greed index, in a format that their readers understand.
        clock: what happened later than now is refused, and the file with it.
        symbol: where the file does not tell it.
        venue: where the file does not tell it.
        timeframe: of candles, where the file does not tell it.

    Raises:
        InputError: the file cannot be imported; nothing of it was stored. The message is one line with its name.
        UnavailableError: the database cannot be reached; nothing was stored.
    """
    try:
        shape = _recognise(path)
        kind = require_kind(shape)
        _require_fitting_options(kind, symbol=symbol, venue=venue, timeframe=timeframe)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error
    if kind is FileKind.CANDLES:
        candles = import_archive(database, path, clock=clock, symbol=symbol, venue=venue, timeframe=timeframe)
        return FileSummary(kind, candles, shape.left_out)
    if kind is FileKind.TRADES:
        return FileSummary(kind, import_trades(database, path, clock=clock, symbol=symbol, venue=venue))
    if kind is FileKind.QUOTES:
        return FileSummary(kind, _import_quotes(database, path, clock, symbol, venue))
    return FileSummary(kind, import_news(database, path, clock=clock))


def _recognise(path: Path) -> Shape:
    content = read_content(path)
    shape = shape_of(content)
    if content.packed and shape.kind in {FileKind.HEADLINES, FileKind.FEAR_GREED}:
        msg = "it is a compressed file of news; unpack it and import what is in it"
        raise InputError(msg)
    return shape


def _require_fitting_options(
    kind: FileKind, *, symbol: str | None, venue: str | None, timeframe: Timeframe | None
) -> None:
    """See that nothing is stated that the file has none of: it would go unheard.

    Raises:
        InputError: something is.
    """
    news = kind in {FileKind.HEADLINES, FileKind.FEAR_GREED}
    unheard = [name for name, value in (("--symbol", symbol), ("--venue", venue)) if value is not None and news]
    unheard += ["--timeframe"] if timeframe is not None and kind is not FileKind.CANDLES else []
    if unheard:
        msg = f"it holds {kind.value.replace('_', ' and ')}, which have none; leave out {' and '.join(unheard)}"
        raise InputError(msg)


def _import_quotes(database: Database, path: Path, clock: Clock, symbol: str | None, venue: str | None) -> QuoteSummary:
    quotes = read_quote_file(path, symbol=symbol, venue=venue)
    first, last = quotes.frame["at"][0], quotes.frame["at"][-1]
    if last > clock.now():
        msg = f"{path.name}: it holds a quote of {last.isoformat()}, which is still to come; correct its time"
        raise InputError(msg)
    with database.connection() as connection:
        source = f"quotes:{quotes.digest[:16]}"
        count = upsert_quotes(connection, quotes.venue, quotes.symbol, quotes.frame, source)
    return QuoteSummary(
        file=str(path),
        format=quotes.format.value,
        venue=quotes.venue,
        symbol=quotes.symbol,
        rows=quotes.rows,
        first=first,
        last=last,
        new=count.new,
        identical=count.identical,
        differing=count.differing,
        superseded=quotes.superseded,
        ignored=quotes.ignored,
    )
