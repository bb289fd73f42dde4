"""What the seats' forecasts returned that settled within a time, for the breaker that watches all of them."""

from datetime import datetime, timedelta

import psycopg

from triplegain_pipelines.risk.strategies import StrategyResult

# A forecast settles four hours after its decision; a candle of entry or exit may come late, and be waited for.
_HORIZON_HOURS = 4
_LONGEST = timedelta(hours=_HORIZON_HOURS + 1)


def settled_results(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime
) -> list[StrategyResult]:
    """The results that settled in (start, end] of the forecasts behind the account's decisions, by time.

    A result is the return over the first horizon where the forecast was up, and the opposite where it was down; an
    abstention, and a forecast of exactly one half, has none.
    """
    rows = connection.execute(
        """SELECT f.seat, o.settled_at, CASE WHEN f.p_up_4h > 0.5 THEN o.return ELSE -o.return END
           FROM research.consensus_decisions d CROSS JOIN LATERAL unnest(d.forecast_ids) AS used (forecast_id)
           JOIN research.seat_forecasts f USING (forecast_id)
           JOIN research.forecast_outcomes o
             ON (o.venue, o.symbol, o.as_of, o.horizon_hours) = (d.venue, d.symbol, d.as_of, %(hours)s)
           WHERE d.account = %(account)s AND d.as_of > %(earliest)s AND d.as_of < %(end)s
             AND o.settled_at > %(start)s AND o.settled_at <= %(end)s AND f.p_up_4h <> 0.5
           ORDER BY o.settled_at, d.symbol, f.seat""",
        {
            "account": account,
            "hours": _HORIZON_HOURS,
            "earliest": start - _LONGEST,
            "start": start,
            "end": end,
        },
    ).fetchall()
    return [StrategyResult(*row) for row in rows]
