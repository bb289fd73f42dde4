"""Rows of research that the breakers look at: settled forecasts of seats, and how volatile the market is."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import psycopg
from builders import BTC, ETH, MARKET, decision, store_decisions

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.store.database import Database

SETTLES_AFTER = timedelta(hours=4, minutes=2)


def add_market_state(connection: psycopg.Connection, as_of: datetime, percentiles: Mapping[str, float]) -> None:
    """How the market of the tests stood."""
    document = {
        "volatilities": {BTC: 0.2, ETH: 0.2},
        "percentiles": dict(percentiles),
        "correlations": [[BTC, ETH, 0.5]],
    }
    connection.execute(
        """INSERT INTO research.market_states VALUES (%s, %s, %s, 'test')
           ON CONFLICT (venue, as_of) DO UPDATE SET document = excluded.document""",
        [MARKET, as_of, canonical_json(document)],
    )


def add_result(database: Database, as_of: datetime, returned: float, forecasts: dict[str, float | None]) -> None:
    """A decision with a forecast of each seat, and what came of it four hours later."""
    ids = {seat: deterministic_id("forecast", seat, as_of) for seat in forecasts}
    made = decision(BTC, as_of, Action.HOLD, forecast_ids=tuple(ids.values()))
    store_decisions(database, [made])
    with database.connection() as connection:
        connection.execute("INSERT INTO research.prompts VALUES ('p', 't', 's', 'u') ON CONFLICT DO NOTHING")
        for seat, p_up in forecasts.items():
            answered = p_up is not None
            connection.execute(
                """INSERT INTO research.seat_forecasts (forecast_id, snapshot_id, prompt_hash, seat, vendor, model,
                       baseline, code_version, parameters, status, reason_code, turns, p_up_4h, input_tokens,
                       output_tokens, cost_usd, latency_ms)
                   VALUES (%s, %s, 'p', %s, 'v', 'm', true, 'test', '{}', %s, %s, 1, %s, 0, 0, 0, 1)""",
                [
                    ids[seat],
                    made.snapshot_id,
                    seat,
                    "answered" if answered else "abstained",
                    None if answered else "SEAT_TIMEOUT",
                    p_up,
                ],
            )
        connection.execute(
            "INSERT INTO research.forecast_outcomes VALUES (%s, %s, %s, 4, %s, 1, 1, %s, %s)",
            [MARKET, BTC, as_of, as_of + SETTLES_AFTER, returned, returned > 0],
        )
