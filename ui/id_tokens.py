"""ID tokens of OpenID Connect (Core 1.0, §3.1.3.7; JWS, RFC 7515): whose signature holds, and what they say. Pure.

Two algorithms are known, RS256 and ES256 (RFC 7518 §3.3, §3.4), and which of them a key is for is the key's own word:
a token that says `none`, or that signs with a public key as if it were a shared secret, finds nothing that checks it.
Go on to `oidc.py`, which gets them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

LEEWAY_S = 60
"""By which two clocks may differ."""
LONGEST = 32 * 1024
"""Characters of a token: hundreds of groups."""
LEAST_BITS = 2048
"""Of an RSA key (RFC 7518 §3.3)."""
HALF = 32
"""Bytes of each of the two numbers of an ES256 signature."""
KINDS = {"RS256": "RSA", "ES256": "EC"}


class Untrusted(Exception):
    """A token that proves nothing, and why."""


class UnknownKey(Untrusted):
    """A token that names a key which is not among those known: it may have been made since."""


def claims_of(
    token: str, keys: Iterable[Mapping[str, Any]], issuer: str, client_id: str, nonce: str, now: float
) -> dict[str, Any]:
    """What a token says, once it is known to be the issuer's, for this client, of this sign-in, and of now.

    `keys` are JSON Web Keys (RFC 7517), `now` is in seconds since 1970. Raises Untrusted, of these UnknownKey where
    newer keys may help.
    """
    parts = token.split(".")
    if len(parts) != 3 or len(token) > LONGEST:
        raise Untrusted("it is no signed token")
    head, said = _decoded(parts[0]), _decoded(parts[1])
    _check_signature(head, f"{parts[0]}.{parts[1]}".encode(), _bytes(parts[2]), keys)
    audience = said.get("aud")
    every = audience if isinstance(audience, list) else [audience]
    party = said.get("azp", client_id if len(every) == 1 else None)
    expires, issued = _number(said.get("exp")), _number(said.get("iat"))
    told = said.get("nonce")
    checks = (
        (said.get("iss") == issuer, "another issuer made it"),
        (client_id in every and party == client_id, "it is for another client"),
        (expires is not None and expires > now - LEEWAY_S, "it has expired"),
        (issued is not None and issued < now + LEEWAY_S, "it is of the future"),
        (isinstance(told, str) and hmac.compare_digest(told.encode(), nonce.encode()), "it is of another sign-in"),
        (isinstance(said.get("sub"), str) and bool(said["sub"]), "it names nobody"),
    )
    if wrong := [why for holds, why in checks if not holds]:
        raise Untrusted("; ".join(wrong))
    return said


def _check_signature(
    head: Mapping[str, Any], signed: bytes, signature: bytes, keys: Iterable[Mapping[str, Any]]
) -> None:
    """Raise Untrusted where no key of the issuer's signed this, by the one algorithm that the key is for."""
    algorithm = head.get("alg")
    if not isinstance(algorithm, str) or algorithm not in KINDS:
        raise Untrusted(f"it is signed by {str(algorithm)[:20]!r}; RS256 and ES256 are known")
    if "crit" in head:
        raise Untrusted("it asks for something that is not known here")
    fits = [
        key
        for key in keys
        if key.get("kty") == KINDS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    ]
    named = [key for key in fits if key.get("kid") == head["kid"]] if "kid" in head else fits
    if not named:
        raise UnknownKey("it is signed by a key that the issuer does not publish")
    if not any(_holds(algorithm, key, signed, signature) for key in named):
        raise Untrusted("its signature does not hold")


def _holds(algorithm: str, key: Mapping[str, Any], signed: bytes, signature: bytes) -> bool:
    try:
        (_check_rsa if algorithm == "RS256" else _check_ec)(key, signed, signature)
    except (InvalidSignature, ValueError, KeyError, TypeError, Untrusted):
        return False
    return True


def _check_rsa(key: Mapping[str, Any], signed: bytes, signature: bytes) -> None:
    modulus, exponent = (_integer(key[name]) for name in ("n", "e"))
    if modulus.bit_length() < LEAST_BITS:
        raise Untrusted("its key is too short")
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    public.verify(signature, signed, padding.PKCS1v15(), SHA256())


def _check_ec(key: Mapping[str, Any], signed: bytes, signature: bytes) -> None:
    if key.get("crv") != "P-256" or len(signature) != 2 * HALF:
        raise Untrusted("its key or its signature is of another curve")
    public = ec.EllipticCurvePublicNumbers(_integer(key["x"]), _integer(key["y"]), ec.SECP256R1()).public_key()
    both = (int.from_bytes(signature[:HALF], "big"), int.from_bytes(signature[HALF:], "big"))
    public.verify(encode_dss_signature(*both), signed, ec.ECDSA(SHA256()))


def _decoded(part: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(_bytes(part), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Untrusted("it is no signed token") from error


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Untrusted("it is no signed token") from error


def _integer(text: Any) -> int:
    if not isinstance(text, str):
        raise Untrusted("a key is none")
    return int.from_bytes(_bytes(text), "big")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
