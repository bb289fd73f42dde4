"""The leaderboard of the seats, the consensus, the shadow pools and the plain baselines: who forecasts better."""

import dagster as dg

from assets.metadata import page_address, table
from assets.partitions import Window
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database


@dg.asset(
    group_name="reports",
    deps=["consensus_decisions", "forecast_outcomes", "market_states"],
    code_version="1",
    kinds={"html"},
)
def leaderboard(
    config: Window, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Who forecasts better than a coin and the plain baselines, with shadow books. A page, a JSON file and a row."""
    from triplegain_pipelines.evaluation.leaderboard_document import board_document
    from triplegain_pipelines.evaluation.leaderboard_page import board_table
    from triplegain_pipelines.operations.leaderboard import write_leaderboard

    written = write_leaderboard(database, session, *config.period(session.clock.now()))
    board = written.board
    return dg.MaterializeResult(
        metadata={
            "verdict": dg.MetadataValue.md("\n\n".join(board.verdict)),
            "leaders": ", ".join(board.leaders) or "nobody",
            "board": table(board_table(board)),
            "settled events": board.events,
            "series ever tried": board.trials,
            "page": dg.MetadataValue.url(page_address(session.settings, written.path_html)),
            "json": dg.MetadataValue.path(written.path_json),
        },
        data_version=dg.DataVersion(content_hash(board_document(board))),
    )
