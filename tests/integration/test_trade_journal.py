"""X9: the journal of an account in the database, made of the rows of its trades."""

import pytest
from report_rows import ACCOUNT, START, Period, plant

from triplegain_pipelines.operations.journal import keep_journal, newest_entries
from triplegain_pipelines.store import journal
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

PAPER = "paper_trading"


def test_every_closed_trade_gets_one_entry(database: Database) -> None:
    """X9: a trade left out of the journal, or told twice after the job ran again."""
    period = Period()
    with database.connection() as connection:
        plant(connection, period)
    trades = period.rows[PAPER, "trades"]
    assert keep_journal(database, PAPER, ACCOUNT) == len(trades) > 5
    assert keep_journal(database, PAPER, ACCOUNT) == 0
    entries = newest_entries(database, PAPER, ACCOUNT, 1000)
    assert {(one.decision_id, one.opened_at) for one in entries} == {(t["decision_id"], t["opened_at"]) for t in trades}
    assert sum(one.profit for one in entries) == sum(t["profit"] for t in trades)
    assert [one.closed_at for one in entries] == sorted((t["closed_at"] for t in trades), reverse=True)
    measured = [one for one in entries if one.best_r is not None and one.worst_r is not None]
    assert measured
    assert all(one.worst_r <= 0 <= one.best_r for one in measured)
    assert all(one.why and one.how for one in entries)


def test_what_a_person_notes_stands_beside_it(database: Database) -> None:
    """X9: a note that changed the entry would rewrite evidence; one for a trade that is not there would be lost."""
    with database.connection() as connection:
        plant(connection, Period())
    keep_journal(database, PAPER, ACCOUNT)
    entry = newest_entries(database, PAPER, ACCOUNT, 1)[0]
    with database.connection() as connection:
        assert journal.note(connection, PAPER, entry.decision_id, "ann", "I would wait for the retest", START)
        assert not journal.note(connection, PAPER, entry.decision_id.__class__(int=1), "ann", "nobody's", START)
    noted = newest_entries(database, PAPER, ACCOUNT, 1)[0]
    assert noted.notes == [f"{START:%Y-%m-%d %H:%M} ann: I would wait for the retest"]
    assert noted.how == entry.how
