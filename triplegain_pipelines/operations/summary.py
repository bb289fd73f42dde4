"""What came of a replay, in one object: the numbers of its report, exact equity and the hash of its result."""

from decimal import Decimal
from typing import Any

from triplegain_pipelines.evaluation.report import WrittenReport, report_document
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import equity
from triplegain_pipelines.store.database import Database

_COUNTS = ("decisions", "forecasts", "abstentions", "proposals", "approved", "modified", "rejected", "orders", "fills")


def summarise(database: Database, schema: str, session: Session, written: WrittenReport) -> dict[str, Any]:
    """The summary that `triplegain replay --json` prints. Holding is equal-weight."""
    document = report_document(written.report)
    with database.connection() as connection:
        newest = equity.newest(connection, schema, session.account)
    final = newest[1] if newest else session.starting_cash
    gained = (final / session.starting_cash - 1) * 100
    return {
        "account": session.account,
        "venue": session.venue,
        "symbols": list(session.symbols),
        "labels": document["labels"],
        "from": document["period"]["start"],
        "to": document["period"]["end"],
        **{name: document["counts"][name] for name in _COUNTS},
        "refusals": [{"code": refusal["code"], "count": refusal["count"]} for refusal in document["refusals"]],
        "trades": document["counts"]["trades"],
        "trades_won": document["trades"]["wins"],
        "final_equity": format(final, "f"),
        "currency": session.currency,
        "total_return_pct": float(gained.quantize(Decimal("0.000001"))),
        "buy_and_hold_pct": 100
        * document["benchmarks"].get("equal-weight hold", {"total_return": 0.0})["total_return"],
        "max_drawdown_pct": document["portfolio"]["drawdown"]["depth"] * 100,
        "verdict": document["verdict"],
        "summary": document["summary"],
        "report": str(written.path_html),
        "result_hash": document["result_hash"],
    }
