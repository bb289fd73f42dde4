"""A process that holds real keys and fails in every way that writes something: run by test_secrets.

Arguments: the address of a venue that repeats what it is sent, a folder to write to, and how to end.
"""

import faulthandler
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import structlog
import typer
from rich.console import Console

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.errors import TripleGainError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.orders import OrderReference, OrderType, Side
from triplegain_pipelines.domain.secrets import Keys, Permissions, Purpose
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.execution.venues.factory import open_broker
from triplegain_pipelines.operations.credentials import add, ask_venue, key_ring
from triplegain_pipelines.operations.live import live_keys
from triplegain_pipelines.operations.logs import protect_structured_logs
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.credentials import Use
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import database_urls

VENUES = ("kraken", "binance", "coinbase")


def given() -> dict[str, Keys]:
    """The planted keys of each venue, from stdin."""
    return {venue: Keys(*pair) for venue, pair in json.load(sys.stdin).items()}


def failing_calls(address: str, keys: dict[str, Keys]) -> list[Exception]:
    """Everything that a venue is asked with keys, refused by one that repeats them."""
    own, errors = settings(), []
    at = SystemClock().now()
    order = OrderReference(
        deterministic_id("x"),
        "abc",
        "BTC/USDT",
        Side.BUY,
        OrderType.MARKET,
        Decimal(1),
        trigger_price=None,
        sent_at=at,
        expires_at=at,
    )
    for venue in VENUES:
        live = own.profile.live
        assert live is not None
        broker = open_broker(
            own.venues.of(venue), venue, keys[venue], live, SystemClock(), symbols=("BTC/USDT",), base_url=address
        )
        calls: tuple[Any, ...] = (
            lambda venue=venue: ask_venue(own, address)(venue, keys[venue]),
            lambda broker=broker: broker.lookup(order),
            lambda broker=broker: broker.cancel(order),
            lambda broker=broker: broker.balances(),
        )
        for call in calls:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - all of them are looked at
                errors.append(error)
    return errors


def raw_ccxt_errors(address: str, keys: Keys) -> list[Exception]:
    """What ccxt itself raises and logs with the keys in use, without our client around it."""
    import ccxt

    exchange = ccxt.kraken({"apiKey": keys.api_key, "secret": keys.secret})
    exchange.urls["api"] = {"public": address, "private": address}
    errors = []
    try:
        exchange.private_post_balance()
    except Exception as error:  # noqa: BLE001
        errors.append(error)
    return errors


def log_them(errors: list[Exception], keys: Keys) -> None:
    """Write the errors in every way that this project and its libraries write, and secrets where somebody slipped."""
    own, plain, secret = structlog.get_logger("leaky"), logging.getLogger("leaky"), keys.secret
    for error in errors:
        own.error("a call failed", keys=keys, slipped=secret, exc_info=error)
        plain.error("a call failed with %s", keys, exc_info=error)
    own.warning(f"slipped into a text: {keys.api_key} {secret}")
    own.warning("as bytes", data=secret.encode(), pair=(keys.api_key, secret))
    plain.error("slipped: %s %r", secret, {"secret": secret})
    plain.error("slipped into a wrong format: %d", secret)
    plain.error("as hex %s", secret.encode().hex())
    Console(file=sys.stdout).print(keys)
    Console(file=sys.stdout).print({"keys": keys})


def fail_in_dagster(folder: Path, address: str, database: Database) -> None:
    """A run whose resource holds the keys and fails in setting up, and one that fails in its op."""

    class BrokerResource(dg.ConfigurableResource[Broker]):
        at_once: bool

        def create_resource(self, context: dg.InitResourceContext) -> Broker:
            own = settings()
            keys = live_keys(own, "live", key_ring(database, own))
            assert context.log is not None
            context.log.error("slipped %s %s", keys.secret, keys)
            assert own.profile.live is not None
            broker = open_broker(
                own.venues.of("kraken"), "kraken", keys, own.profile.live, SystemClock(), base_url=address
            )
            if self.at_once:
                broker.balances()
            return broker

    @dg.op
    def trade(context: dg.OpExecutionContext, broker: dg.ResourceParam[Broker]) -> None:
        keys = live_keys(settings(), "live", key_ring(database, settings()))
        secret = keys.secret
        context.log.warning("slipped %s", secret)
        structlog.get_logger("op").warning("slipped", secret=secret)
        context.add_output_metadata({"broker": repr(broker), "keys": str(keys)})
        broker.balances()

    @dg.job
    def trading() -> None:
        trade()

    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for at_once in (True, False):
            done = trading.execute_in_process(
                instance=instance, resources={"broker": BrokerResource(at_once=at_once)}, raise_on_error=False
            )
            assert not done.success
            failures = [event for event in done.all_events if event.is_failure]
            assert failures, done.all_events


def main() -> None:
    """Fail, write, and end as asked for."""
    address, folder, end = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    protect_structured_logs()
    logging.basicConfig(level=logging.DEBUG, filename=folder / f"python-{end}.log")
    faulthandler.enable((folder / f"fault-{end}.log").open("w"))
    planted = given()
    keys = planted["kraken"]
    own = settings()
    database = Database(database_urls(own).triplegain)
    if end == "dagster":
        use = Use("production", "kraken", Purpose.TRADE)
        with_trade = lambda _venue, _keys: Permissions(can_read=True, can_trade=True, can_withdraw=False)  # noqa: E731
        add(database, own, use, keys, by="test", clock=SystemClock(), ask=with_trade)
        fail_in_dagster(folder / "dagster", address, database)
        database.close()
        return
    if end == "crash":
        os.abort()
    if end == "error":
        thread = threading.Thread(target=fail_with, args=[keys.secret], name="slipping")
        thread.start()
        thread.join()
        fail_with(keys.secret)
    errors = [*failing_calls(address, planted), *raw_ccxt_errors(address, keys)]
    assert len(errors) >= len(VENUES) * 3, errors
    assert all(isinstance(error, TripleGainError) for error in errors[:-1]), errors
    (folder / "errors.txt").write_text("\n".join(f"{error!r} {error}" for error in errors[:-1]))
    log_them(errors, keys)
    fail_in_a_command(keys.secret)


def fail_with(secret: str) -> None:
    """Fail with the secret in the text, and in a local variable."""
    msg = f"slipped into an error: {secret} at {datetime.now(UTC) + timedelta(0)} {Decimal(1)}"  # noqa: TID251
    raise RuntimeError(msg)


def fail_in_a_command(secret: str) -> None:
    """A command of the real program that falls over with the secret in hand."""
    from triplegain_pipelines import cli

    @cli.app.command()
    def slip(why: str = typer.Option("")) -> None:
        held = secret
        try:
            fail_with(held + why)
        except RuntimeError as error:
            raise KeyError(held) from error

    sys.argv = ["triplegain", "slip"]
    cli.main()


if __name__ == "__main__":
    main()
