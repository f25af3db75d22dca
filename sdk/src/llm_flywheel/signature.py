"""Signatures of decisions, checked: Ed25519 (RFC 8032, section 5.1.7) in the standard library alone.

Checking handles no secret, so nothing here has to take the same time for all values; some 10 ms a signature. Points are
in extended coordinates (X, Y, Z, T), x = X/Z, y = Y/Z, xy = T/Z, with the formulas of section 5.1.4.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
"""A square root of -1."""
HEADER = "ce_signature"
PREFIX = b"llm-flywheel event\0llm.decision.v1\0"
"""What stands before the bytes of a decision in what was signed (docs/contracts.md)."""
Point = tuple[int, int, int, int]


class Trust:
    """Whose decisions are believed: public keys as `flywheel ledger key` prints them. Raises ValueError for no key."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [_raw(key) for key in keys]
        for key in self._keys:
            if len(key) != 32 or _point(key) is None:
                raise ValueError("a trusted key must be what `flywheel ledger key` prints")

    def holds(self, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Whether one of the keys signed exactly these bytes as a decision."""
        signatures = [text for name, text in headers if name == HEADER and text]
        return any(verify(key, PREFIX + value, _quietly(text)) for text in signatures[:4] for key in self._keys)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the owner of a public key (32 bytes) signed the message with this signature (64 bytes)."""
    public = _point(key) if len(key) == 32 else None
    if public is None or len(signature) != 64:
        return False
    commitment, s = _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if commitment is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    return _equal(_times(s, BASE), _sum(commitment, _times(h, public)))


def _sum(a: Point, b: Point) -> Point:
    one = (a[1] - a[0]) * (b[1] - b[0]) % P
    two = (a[1] + a[0]) * (b[1] + b[0]) % P
    three, four = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = two - one, four - three, four + three, two + one
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(n: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        n >>= 1
    return total


def _equal(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def _point(data: bytes) -> Point | None:
    """The point that 32 bytes stand for; None for none (section 5.1.3)."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _raw(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)


def _quietly(text: bytes) -> bytes:
    try:
        return _raw(text)
    except ValueError:
        return b""


_BASE_Y = 4 * pow(5, P - 2, P) % P
BASE: Point = _point(_BASE_Y.to_bytes(32, "little")) or (0, 0, 0, 0)
"""The group's generator."""
