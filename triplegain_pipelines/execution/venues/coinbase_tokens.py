"""Coinbase's tokens signed by a compiled library: ccxt signs in Python, which takes 60 ms for each call."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

_HALF = 32  # bytes of each half of a signature


def signing_with(plain: Callable[..., str]) -> Callable[..., str]:
    """The maker of tokens of ccxt, with ES256 signed by `cryptography`; every other kind is left to `plain`."""

    def token(
        request: Mapping[str, Any],
        secret: bytes,
        algorithm: str,
        is_rsa: bool,  # noqa: FBT001 - the signature of ccxt
        options: Mapping[str, Any],
    ) -> str:
        if options.get("alg") != "ES256":
            return plain(request, secret, algorithm, is_rsa, options)
        header = {"alg": "ES256", "typ": "JWT", "kid": options["kid"], "nonce": options["nonce"]}
        signed = f"{_encoded(header)}.{_encoded(request)}"
        return f"{signed}.{_base64(_signature(signed.encode(), secret))}"

    return token


def _signature(signed: bytes, secret: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    # The venue hands the key out with its line breaks spelt as two characters.
    key = serialization.load_pem_private_key(secret.replace(b"\\n", b"\n"), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        msg = "the secret is no EC key; make a key of the kind ECDSA at Coinbase"
        raise TypeError(msg)
    halves = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return b"".join(half.to_bytes(_HALF) for half in halves)


def _encoded(part: Mapping[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
