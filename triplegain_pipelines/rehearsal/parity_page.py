"""The parity report as text that a person reads in a terminal."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from triplegain_pipelines.domain.money import rounded
from triplegain_pipelines.rehearsal.parity_report import Cause, IntentRow, ParityReport, Row

_PLACES = 4
_LISTED = 40  # rows, the largest ones: the totals have them all


def parity_page(reports: Sequence[ParityReport]) -> str:
    """The reports one after the other."""
    return "\n".join(line for report in reports for line in (*_lines(report), ""))


def _lines(report: ParityReport) -> Iterator[str]:
    first, second, currency = report.first.value, report.second.value, report.currency
    yield f"{first} and {second}: {'alike' if report.holds else 'NOT ALIKE'}"
    yield f"  {report.compared} intents compared, {_told(report.disagreements)}"
    for cause in dict.fromkeys(row.cause for row in report.intents if row.is_of_the_way):
        number = sum(row.cause is cause for row in report.intents)
        yield f"  {number} differ by how the ways are made. {cause.value}: {cause.meaning}"
    for one in report.disagreements:
        yield f"    {_intent(one, first, second)}"
    yield f"  equity {first} {report.first_equity:f}, {second} {report.second_equity:f} {currency}"
    yield f"  difference {_signed(report.difference)} {currency}, of which"
    for cause, amount in report.totals.items():
        yield f"    {_signed(amount):>14}  {cause.value:<12} {cause.meaning}"
    shown = [row for row in report.rows if row.cause is not Cause.ROUNDING]
    largest = sorted(shown, key=lambda row: abs(row.amount), reverse=True)[:_LISTED]
    if largest:
        yield f"  each of them, as {first} and {second} had it"
    for row in (row for row in report.rows if row in largest):
        yield f"    {_row(row)}"
    if len(shown) > len(largest):
        yield f"    and {len(shown) - len(largest)} smaller ones, which --json prints"


def _told(disagreements: Sequence[IntentRow]) -> str:
    return f"{len(disagreements)} DIFFER" if disagreements else "all the same"


def _intent(row: IntentRow, first: str, second: str) -> str:
    about = f"{row.symbol} {row.leg.value} {row.attempt} of decision {row.decision_id}"
    return f"{about}: {row.what} is {row.first} in {first}, {row.second} in {second}; {row.cause.value}"


def _row(row: Row) -> str:
    follows = f", follows from {row.follows}" if row.follows else ""
    where = f"{row.at:%m-%d %H:%M} {row.symbol:<9} {row.side:<10}"
    return f"{where} {row.cause.value:<11} {_signed(row.amount):>12}  {row.detail}{follows}"


def _signed(amount: Decimal) -> str:
    short = rounded(amount, _PLACES)
    return f"{short:+.{_PLACES}f}" if short or not amount else f"{amount.normalize():+.0e}"
