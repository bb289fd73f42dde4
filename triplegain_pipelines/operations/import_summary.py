"""What every import of a file of market data says when it is done."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """What a file held and what became of it. `ignored` are columns that have no place in what was stored."""

    file: str
    format: str
    venue: str
    symbol: str
    rows: int
    first: datetime
    last: datetime
    new: int
    identical: int
    ignored: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "file": self.file,
            "format": self.format,
            "venue": self.venue,
            "symbol": self.symbol,
            "rows": self.rows,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "new": self.new,
            "identical": self.identical,
            "ignored_columns": list(self.ignored),
        }
