"""What a key may do, as the venue itself says: asked before it is taken, for one that can withdraw is refused."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.errors import DataError, PermanentError, UnavailableError
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.venues.client import Failure, PrivateClient
from triplegain_pipelines.execution.venues.outcomes import Meaning, Request, meaning_of
from triplegain_pipelines.execution.venues.reading import mapping
from triplegain_pipelines.settings.venues import VenueSettings

_PATIENCE = timedelta(seconds=10)
_TRADING_AT_KRAKEN = frozenset({"modify-trades", "close-trades"})  # to send and move orders, and to cancel them


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What a key may do; None: the venue does not say, or it may do a part of it. `raw` is its answer, without the key.

    To trade is to send orders and to cancel them: a stop that nobody can take back keeps its position.
    """

    can_read: bool | None
    can_trade: bool | None
    can_withdraw: bool | None
    raw: str = field(repr=False)


def key_permissions(
    venue: VenueSettings, keys: Keys, *, clock: Clock | None = None, base_url: str | None = None
) -> KeyPermissions:
    """Ask the venue what the key may do.

    Args:
        venue: with the section `trading`.
        keys: the key in question.
        clock: gives the time in the request; None: the machine's.
        base_url: address to use in place of the venue's own.

    Raises:
        PermanentError: the venue does not accept the key.
        UnavailableError: it cannot be asked, or its answer cannot be read.
    """
    client = PrivateClient(venue, keys, clock or SystemClock(), _PATIENCE, base_url)
    testnet = venue.trading is not None and venue.trading.sandbox
    endpoint, read = {
        "kraken": ("privatePostGetApiKeyInfo", _of_kraken),
        "binance": ("privateGetAccount", _of_testnet) if testnet else ("sapiGetAccountApiRestrictions", _of_binance),
        "coinbase": ("v3PrivateGetBrokerageKeyPermissions", _of_coinbase),
    }.get(client.identity, ("", _of_nowhere))
    if not endpoint:
        return read({}, "")
    answer = client.ask(endpoint, {})
    if isinstance(answer, Failure):
        # A question that is refused as an order would be is refused because of the key.
        if meaning_of(client.identity, Request.CREATE, answer) is Meaning.REJECTED:
            msg = f"{client.identity} does not accept this key ({answer}); make a new one there"
            raise PermanentError(msg)
        msg = f"{client.identity} did not say what the key may do ({answer}); it may later"
        raise UnavailableError(msg)
    try:
        return read(mapping(answer.data, "the answer"), answer.text)
    except DataError as error:
        msg = f"{client.identity} gave an answer about the key that cannot be read: {error}"
        raise UnavailableError(msg) from error


def _of_kraken(data: Any, raw: str) -> KeyPermissions:  # noqa: ANN401 - it is what JSON holds
    names = mapping(data.get("result"), "the result").get("permissions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return KeyPermissions(None, None, None, raw)
    trading = _TRADING_AT_KRAKEN & set(names)
    return KeyPermissions(
        can_read={"query-funds", "query-open-trades", "query-closed-trades"} <= set(names),
        can_trade=None if 0 < len(trading) < len(_TRADING_AT_KRAKEN) else bool(trading),
        can_withdraw=any("withdraw" in name or "transfer" in name for name in names),
        raw=raw,
    )


def _of_binance(data: Any, raw: str) -> KeyPermissions:  # noqa: ANN401 - it is what JSON holds
    return KeyPermissions(
        can_read=_said(data, "enableReading"),
        can_trade=_said(data, "enableSpotAndMarginTrading"),
        # An internal transfer goes to somebody else's account: that is a withdrawal too.
        can_withdraw=_any_said(data, "enableWithdrawals", "enableInternalTransfer"),
        raw=raw,
    )


def _of_testnet(data: Any, raw: str) -> KeyPermissions:  # noqa: ANN401 - it is what JSON holds
    """The test system says nothing of keys; its money cannot be withdrawn by anyone."""
    return KeyPermissions(can_read=True, can_trade=_said(data, "canTrade"), can_withdraw=False, raw=raw)


def _of_coinbase(data: Any, raw: str) -> KeyPermissions:  # noqa: ANN401 - it is what JSON holds
    return KeyPermissions(
        can_read=_said(data, "can_view"),
        can_trade=_said(data, "can_trade"),
        can_withdraw=_said(data, "can_transfer"),
        raw=raw,
    )


def _of_nowhere(data: Any, raw: str) -> KeyPermissions:  # noqa: ANN401, ARG001 - as the others
    return KeyPermissions(None, None, None, raw)


def _any_said(data: Any, *field_names: str) -> bool | None:  # noqa: ANN401 - it is what JSON holds
    said = [_said(data, name) for name in field_names]
    return True if True in said else None if None in said else False


def _said(data: Any, field_name: str) -> bool | None:  # noqa: ANN401 - it is what JSON holds
    value = data.get(field_name)
    return value if isinstance(value, bool) else None
