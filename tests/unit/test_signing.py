"""Coinbase's tokens signed by OpenSSL: what ccxt would have signed, and nothing else is touched."""

import base64
import json
from typing import Any

import ccxt
import pytest

from triplegain_pipelines.execution.venues.signing import signing_with_openssl
from triplegain_pipelines.rehearsal.coinbase_tokens import KeyPair

pytestmark = pytest.mark.unit

_NOW = 1_767_787_200
_CLAIMS = {"iss": "coinbase-cloud", "nbf": _NOW, "exp": _NOW + 120, "uri": "GET api.coinbase.com/api/v3/accounts"}


def parts(token: str) -> list[Any]:
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def test_a_token_says_what_ccxts_says_and_its_signature_holds() -> None:
    """X2: a token that the venue does not take stops every order; one with a claim missing may be good for too long."""
    key = KeyPair()
    claims = {**_CLAIMS, "sub": key.name}
    options = {"kid": key.name, "nonce": "0123456789abcdef", "alg": "ES256"}
    ours = signing_with_openssl(ccxt.Exchange.jwt)(claims, key.secret.encode(), "sha256", False, options)  # noqa: FBT003
    theirs = ccxt.Exchange.jwt(claims, key.secret.encode(), "sha256", False, options)  # noqa: FBT003
    assert parts(ours) == parts(theirs)
    for token in (ours, theirs):
        assert key.accepts(token, "GET api.coinbase.com/api/v3/accounts", _NOW + 1)
        assert not key.accepts(token, "POST api.coinbase.com/api/v3/orders", _NOW + 1)
    assert not KeyPair().accepts(ours, "GET api.coinbase.com/api/v3/accounts", _NOW + 1)


def test_other_algorithms_are_ccxts() -> None:
    """X2: another venue's token must not change because one is signed in another way."""
    arguments = ({"sub": "someone"}, b"a secret", "sha256")
    assert signing_with_openssl(ccxt.Exchange.jwt)(*arguments) == ccxt.Exchange.jwt(*arguments)


@pytest.mark.parametrize("curve", ["SECP384R1", "SECP256K1"])
def test_a_key_of_another_curve_is_refused(curve: str) -> None:
    """X8: a signature of another kind under ES256 would be a riddle at the venue; nothing is sent."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    made = ec.generate_private_key(getattr(ec, curve)())
    secret = made.private_bytes(form, kind, serialization.NoEncryption())
    with pytest.raises(TypeError, match="P-256"):
        signing_with_openssl(ccxt.Exchange.jwt)({}, secret, opts={"alg": "ES256", "kid": "k", "nonce": "n"})
