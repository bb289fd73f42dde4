"""Coinbase's signatures by OpenSSL. ccxt computes them in Python, a twentieth of a second of one core for each call."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

_HALF = 32  # bytes of each half of a signature
Jwt = Callable[..., str]


def signing_with_openssl(plain: Jwt) -> Jwt:
    """Ccxt's `jwt` with ES256 signed by OpenSSL; the other algorithms are left to `plain`."""

    def jwt(
        claims: Mapping[str, Any],
        secret: bytes,
        algorithm: str = "sha256",
        is_rsa: bool = False,  # noqa: FBT001, FBT002 - ccxt's own signature
        opts: Mapping[str, Any] | None = None,
    ) -> str:
        options = opts or {}
        if options.get("alg") != "ES256":
            return plain(claims, secret, algorithm, is_rsa, dict(options))
        header = {"alg": "ES256", "typ": "JWT", "kid": options["kid"], "nonce": options["nonce"]}
        signed = f"{_encoded(_json(header))}.{_encoded(_json(claims))}"
        return f"{signed}.{_encoded(_signature(signed.encode(), secret))}"

    return jwt


def _signature(message: bytes, secret: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    # The venue hands the key out with its line breaks spelt as two characters.
    key = serialization.load_pem_private_key(secret.replace(b"\\n", b"\n"), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        msg = "the key is not on the curve P-256"  # the caller takes every error for a request that was not sent
        raise TypeError(msg)
    first, second = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return first.to_bytes(_HALF) + second.to_bytes(_HALF)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
