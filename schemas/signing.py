"""Signatures of events that give orders (decisions, erasures): Ed25519 (RFC 8032) over the bytes as they were sent.

Anybody who may write to a topic can write an event, so whoever acts on one asks first who signed it. Signed is the
record's value itself, with its type before it: no listener in any language has to write JSON in one canonical way. Two
Kafka headers carry it, extension attributes of CloudEvents: `ce_signature` and `ce_signedby`. Pure: keys are kept by
`streams/keyring.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_HEADER = "ce_signature"
"""Base64 (URL-safe, without padding) of the 64 bytes of the signature."""
KEY_HEADER = "ce_signedby"
"""The public key that checks it, in the same form: which of several to try, and never a reason to believe it."""
_PREFIX = b"llm-flywheel event\0"
"""What this key signs is never another protocol's message."""


class Signer:
    """Signs event values with one private key, `seed`: base64 of 32 bytes, as `streams.keyring.own_secret` makes it."""

    def __init__(self, seed: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(_bytes(seed))
        self.public_key = _text(self._key.public_key().public_bytes_raw())
        """What listeners need, and may be shown to everybody."""

    def mark(self, kind: str, value: bytes) -> str:
        """Key and signature as one text, for what is signed and is no record of Kafka."""
        return f"{self.public_key}.{_text(self._key.sign(_message(kind, value)))}"

    def headers(self, event_type: str, value: bytes) -> list[tuple[str, bytes]]:
        """The two headers of a record with this value."""
        signature = self._key.sign(_message(event_type, value))
        return [(SIGNATURE_HEADER, _text(signature).encode()), (KEY_HEADER, self.public_key.encode())]


class Trust:
    """Whose signatures are believed: public keys as `Signer.public_key` gives them. Raises ValueError for no key."""

    def __init__(self, public_keys: Iterable[str]) -> None:
        self._keys = {key: Ed25519PublicKey.from_public_bytes(_bytes(key)) for key in public_keys}

    def signer(self, event_type: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] | None) -> str | None:
        """The trusted key that signed exactly this value as this type; None where none did, whatever the headers say.

        Of several signatures on one record one must hold.
        """
        claims = list(headers or ())
        signatures = [claim for name, claim in claims if name == SIGNATURE_HEADER]
        for name, claim in claims:
            key = claim.decode("ascii", "replace") if name == KEY_HEADER and claim else ""
            if key in self._keys and any(self._holds(key, event_type, value or b"", each) for each in signatures):
                return key
        return None

    def marked(self, kind: str, value: bytes, mark: str | None) -> str | None:
        """The trusted key whose `Signer.mark` of this value and kind it is; None where it is none's."""
        key, _, signature = (mark or "").partition(".")
        return key if key in self._keys and self._holds(key, kind, value, signature.encode()) else None

    def _holds(self, key: str, event_type: str, value: bytes, signature: bytes) -> bool:
        try:
            self._keys[key].verify(_bytes(signature.decode()), _message(event_type, value))
        except (InvalidSignature, ValueError, AttributeError):
            return False
        return True


def _message(event_type: str, value: bytes) -> bytes:
    return _PREFIX + event_type.encode() + b"\0" + value


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from error
