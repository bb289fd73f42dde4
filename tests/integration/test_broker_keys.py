"""Keys and secrets of venues: what a key may do is the venue's word, and no secret is in anything said."""

import io
import logging
import traceback

import pytest
from broker_cases import (
    CREATE,
    EXPIRY,
    SAID,
    VENUES,
    broker_at,
    captured,
    intent,
    keys_of,
    live_settings,
    venue_settings,
)
from builders import START
from venue_capture import Reply

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import (
    PermanentError,
    SettingsError,
    TripleGainError,
    UnavailableError,
)
from triplegain_pipelines.execution.broker import NotExecutedError
from triplegain_pipelines.execution.venues.factory import open_broker
from triplegain_pipelines.execution.venues.permissions import key_permissions

pytestmark = pytest.mark.integration


def all_told(error: BaseException) -> str:
    """The error, what caused it, its raw answer, and the variables of all frames but those of this file."""
    told, seen = "", error
    while seen is not None:
        frames = [frame for frame, _ in traceback.walk_tb(seen.__traceback__) if frame.f_code.co_filename != __file__]
        told += f"{seen!r} {seen} {getattr(seen, 'raw', '')} {[frame.f_locals for frame in frames]}"
        assert frames or seen is not error
        seen = seen.__cause__ or seen.__context__
    return told


@pytest.mark.parametrize("venue", VENUES)
def test_no_secret_is_in_any_error_or_log(venue: str, caplog: pytest.LogCaptureFixture) -> None:
    """X8: a venue may repeat what it was sent, and the library writes headers to its log for debugging.

    Searched: the errors with their causes and the variables of their frames, their raw answers, all logs.
    """
    keys, said = keys_of(venue), io.StringIO()
    caplog.set_level(logging.DEBUG)
    parrot = f"we got {keys.api_key} and {keys.secret}"
    replies = [
        SAID[venue]("-2010 x" if venue == "binance" else f"E:{parrot}"),
        Reply({"echo": parrot, "success": True, "error": [], "result": {"txid": [parrot, 1]}}),
        Reply(parrot, 400),
        Reply(parrot, 401),
        Reply(lost=True),
    ]
    with captured(venue, **{CREATE[venue]: replies}) as server:
        broker = broker_at(server.url, venue, ReplayClock(START))
        for _ in replies:
            with pytest.raises(TripleGainError) as caught:
                broker.submit(intent(), START, EXPIRY)
            said.write(all_told(caught.value) + repr(vars(broker)))
        assert len(server.of(CREATE[venue])) == len(replies)
    everything = said.getvalue() + caplog.text
    for secret in (keys.api_key, keys.secret, *keys.secret.split("\n")[1:3]):
        assert secret not in everything
    assert "[hidden]" in everything


def test_a_bad_secret_is_not_sent_and_not_shown() -> None:
    """X8: a secret that cannot sign fails inside the library, whose error would quote it."""
    from triplegain_pipelines.domain.secrets import Keys

    for venue, secret in (("kraken", "not base64 at all! x"), ("coinbase", "-----BEGIN EC PRIVATE KEY----- nonsense")):
        with captured(venue, **{CREATE[venue]: Reply({})}) as server:
            broker = broker_at(server.url, venue, ReplayClock(START), keys=Keys("planted-key-of-mine", secret))
            with pytest.raises(NotExecutedError) as caught:
                broker.submit(intent(), START, EXPIRY)
            assert secret not in str(caught.value)
            assert server.of(CREATE[venue]) == []


def test_what_a_key_may_do_is_what_the_venue_says() -> None:
    """X8: a key that can withdraw is refused, and so is one of which that is not known."""
    info = "POST /0/private/GetApiKeyInfo"
    restrictions = "GET /sapi/v1/account/apiRestrictions"
    permissions = "GET /api/v3/brokerage/key_permissions"
    trading = ["query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades"]
    cases = [
        ("kraken", info, {"error": [], "result": {"permissions": trading}}, (True, True, False)),
        (
            "kraken",
            info,
            {"error": [], "result": {"permissions": ["query-funds", "withdraw-funds"]}},
            (False, False, True),
        ),
        ("kraken", info, {"error": [], "result": {}}, (None, None, None)),
        # Who can send and not cancel cannot take a stop back, and who can only cancel is no mere watcher.
        ("kraken", info, {"error": [], "result": {"permissions": trading[:-1]}}, (True, None, False)),
        ("kraken", info, {"error": [], "result": {"permissions": [*trading[:3], trading[-1]]}}, (True, None, False)),
        (
            "binance",
            restrictions,
            {
                "enableReading": True,
                "enableSpotAndMarginTrading": True,
                "enableWithdrawals": False,
                "enableInternalTransfer": False,
            },
            (True, True, False),
        ),
        (
            "binance",
            restrictions,
            {"enableReading": True, "enableWithdrawals": False, "enableInternalTransfer": True},
            (True, None, True),
        ),
        ("binance", restrictions, {"enableReading": True, "enableWithdrawals": False}, (True, None, None)),
        ("binance", restrictions, {"enableWithdrawals": True}, (None, None, True)),
        ("coinbase", permissions, {"can_view": True, "can_trade": False, "can_transfer": True}, (True, False, True)),
        ("coinbase", permissions, {"can_view": True, "can_trade": True, "can_transfer": "no"}, (True, True, None)),
    ]
    for venue, call, answer, expected in cases:
        with captured(venue, **{call: Reply(answer | {"apiKey": keys_of(venue).api_key})}) as server:
            found = key_permissions(
                venue_settings(venue), keys_of(venue), clock=ReplayClock(START), base_url=server.url
            )
            assert (found.can_read, found.can_trade, found.can_withdraw) == expected, (venue, answer)
            assert keys_of(venue).api_key not in found.raw
            assert len(server.sent) == 1


def test_a_key_that_the_venue_does_not_know_is_not_one_that_may_do_nothing() -> None:
    """X8: refused for good and cannot be asked now are told apart, and neither is an answer."""
    call = "POST /0/private/GetApiKeyInfo"
    for reply, error in ((Reply({"error": ["EAPI:Invalid key"]}), PermanentError), (Reply("", 503), UnavailableError)):
        with captured("kraken", **{call: reply}) as server, pytest.raises(error):
            key_permissions(venue_settings("kraken"), keys_of("kraken"), clock=ReplayClock(START), base_url=server.url)


def test_a_venue_without_a_trading_section_has_no_broker() -> None:
    """X7: no order goes to a venue that nobody described as one to trade at."""
    for venue in (venue_settings("kraken", trading=None), venue_settings("kraken", ccxt="bitfinex")):
        with pytest.raises(SettingsError):
            open_broker(venue, "kraken", keys_of("kraken"), live_settings(), ReplayClock(START))
