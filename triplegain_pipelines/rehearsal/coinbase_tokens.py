"""The tokens by which Coinbase knows a request: JSON web tokens signed with ES256, good for two minutes."""

import base64
import json
import secrets
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from triplegain_pipelines.domain.ids import deterministic_id

_LIFE = 120  # seconds
_HALF = 32  # bytes of each half of a signature


class KeyPair:
    """A key of the account: its name, its private half as it is handed out, and the check of what was signed."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        seed = secrets.token_hex(16)
        organization, key = deterministic_id("loopback organization", seed), deterministic_id("loopback key", seed)
        self.name = f"organizations/{organization}/apiKeys/{key}"

    @property
    def secret(self) -> str:
        """The private half, PEM."""
        form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
        return self._private.private_bytes(form, kind, serialization.NoEncryption()).decode()

    def accepts(self, token: str, uri: str, now: float) -> bool:
        """Whether `token` was signed with this key for `uri` (method, host and path), and is good at `now`, in seconds.

        The host may have a scheme before it: clients only take off that of the venue's own address.
        """
        try:
            head, claims, signature = token.split(".")
            header, content = _read(head), _read(claims)
            self._verify(f"{head}.{claims}".encode(), _bytes(signature))
            begins, ends = float(content["nbf"]), float(content["exp"])
        except (ValueError, KeyError, TypeError, InvalidSignature):
            return False
        known = header.get("alg") == "ES256" and header.get("kid") == content.get("sub") == self.name
        meant = str(content.get("uri", "")).replace("http://", "") == uri
        return known and meant and begins <= now < ends <= begins + _LIFE

    def _verify(self, signed: bytes, signature: bytes) -> None:
        first, second = (int.from_bytes(half) for half in (signature[:_HALF], signature[_HALF:]))
        der = encode_dss_signature(first, second)
        self._private.public_key().verify(der, signed, ec.ECDSA(hashes.SHA256()))


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _read(part: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(_bytes(part))
    return read
