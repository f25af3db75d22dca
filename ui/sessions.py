"""Cookies that prove what they say: who is signed in, and what a sign-in that is under way must come back with.

Nothing is kept here: a cookie is its fields, when they end, and a signature (HMAC-SHA-256) by a secret of the home. A
script cannot read them, and no other site's form or picture sends them (`HttpOnly`, `SameSite=Lax`). Go on to
`oidc.py`, which fills them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

SESSION, SIGNING_IN = "flywheel", "flywheel-sign-in"
"""Names of cookies, by what they say: one is never taken for the other."""
LONGEST = 4000
"""Bytes of a cookie that browsers keep."""


class Sessions:
    """Makes and reads the cookies. `secure`: people reach the app by https alone."""

    def __init__(self, key: str, *, secure: bool, clock: Callable[[], float] = time.time) -> None:
        self._key, self._secure, self._clock = key.encode(), secure, clock

    def made(self, name: str, fields: Mapping[str, str], seconds: float) -> str:
        """The `Set-Cookie` of some fields that hold for a time."""
        body = msgspec.json.encode({**fields, "until": str(int(self._clock() + seconds))})
        text = base64.urlsafe_b64encode(body).decode()
        return self._cookie(name, f"{text}.{self._mark(name, text)}", int(seconds))

    def gone(self, name: str) -> str:
        """The `Set-Cookie` that ends it."""
        return self._cookie(name, "", 0)

    def read(self, name: str, cookies: Mapping[str, str]) -> dict[str, str]:
        """The fields of a cookie that we made and that still holds; {} where there is none."""
        text, _, mark = cookies.get(self._name(name), "")[:LONGEST].partition(".")
        if not mark or not hmac.compare_digest(mark.encode(), self._mark(name, text).encode()):
            return {}
        try:
            found = msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, str])
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return {}
        return found if float(found.get("until", "0")) > self._clock() else {}

    def _mark(self, name: str, text: str) -> str:
        return hmac.new(self._key, f"{name} {text}".encode(), sha256).hexdigest()

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self._secure else name  # with it, no neighbour of our domain can set one for us

    def _cookie(self, name: str, value: str, seconds: int) -> str:
        more = "; Secure" if self._secure else ""
        return f"{self._name(name)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{more}"
