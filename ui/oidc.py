"""Sign-in by an OpenID Connect provider: authorization code with PKCE (RFC 7636), state and nonce.

1. `begin`: the browser is sent to the provider; a cookie of ours, for ten minutes, says with what it must come back.
2. `finish`: it comes back with a code and that state. The code is changed for an ID token, which `id_tokens.py` checks.
3. Who it names is a session of `sessions.py`. No token is kept, and none is ever sent to a browser.

The provider's addresses and keys come from its discovery document and are asked for again now and then. Go on to
`pages/sign_in.py`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from flows.outbound import Bounds, fetch
from flows.visible import visible
from schemas.errors import EndpointError
from schemas.secrets import Secret
from schemas.serving import OidcSettings
from ui.id_tokens import UnknownKey, Untrusted, claims_of
from ui.sessions import Sessions

BOUNDS = Bounds(timeout_s=10.0, max_bytes=2**20)
KNOWN_S, AGAIN_S = 3600.0, 60.0
"""Its addresses and keys are believed for an hour; for a key that is unknown it is asked again, once a minute."""
WITHIN_S = 600.0
"""A sign-in takes no longer."""
MOST = 10_000
"""States that are remembered as used, each for as long as its cookie could hold. Of more the oldest is forgotten, whose
code the provider takes no second time anyway: whoever brings thousands locks nobody out."""
NAME = 200
"""Characters of a person's name."""


class SignInError(Exception):
    """Nobody is signed in, and why, in words for whoever tried."""


class Signed(Struct, frozen=True):
    """Whom the provider names."""

    name: str
    groups: tuple[str, ...]


class Provider:
    """One provider, as the settings name it.

    `back` is where it sends people, `declared` are the private hosts that may be asked.
    """

    def __init__(
        self,
        settings: OidcSettings,
        back: str,
        declared: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._back, self._declared, self._clock = settings, back, declared, clock
        self._lock = threading.Lock()
        self._document: tuple[float, dict[str, Any]] = (float("-inf"), {})
        self._keys: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])
        self._used: dict[str, float] = {}

    def begin(self, then: str) -> tuple[str, dict[str, str]]:
        """Where the browser goes, and what it must come back with; `then` is the page that it wanted.

        Raises SignInError where the provider cannot be asked.
        """
        fields = {"state": secrets.token_urlsafe(24), "nonce": secrets.token_urlsafe(24),
                  "verifier": secrets.token_urlsafe(48), "then": page_of(then)}  # fmt: skip
        challenge = base64.urlsafe_b64encode(hashlib.sha256(fields["verifier"].encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": self._back,
            "scope": self._settings.scope, "state": fields["state"], "nonce": fields["nonce"],
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        place = str(self._discovered()["authorization_endpoint"])
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}", fields

    def finish(self, answer: Mapping[str, str], fields: Mapping[str, str]) -> Signed:
        """Who came back, given the address's parameters and what the cookie of `begin` says. Raises SignInError."""
        state = fields.get("state", "")
        if not state or not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
            raise SignInError("this sign-in was not begun in this browser, or took longer than ten minutes: try again")
        self._use(state)
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise SignInError("another provider answered than was asked")
        if "code" not in answer:
            said = visible(f"{answer.get('error', 'no code')} {answer.get('error_description', '')}"[:NAME]).strip()
            raise SignInError(f"the provider signed nobody in: {said}")
        claims = self._claims(self._changed(answer["code"][:4000], fields["verifier"]), fields["nonce"])
        return self._signed(claims)

    def _use(self, state: str) -> None:
        """Note that a state came back. Raises SignInError where it had before."""
        with self._lock:
            now = self._clock()
            self._used = {known: until for known, until in self._used.items() if until > now}
            if state in self._used:
                raise SignInError("this sign-in has come back before: begin anew")
            while len(self._used) >= MOST:
                del self._used[next(iter(self._used))]
            self._used[state] = now + WITHIN_S

    def _changed(self, code: str, verifier: str) -> str:
        """The ID token for a code. Raises SignInError."""
        document, client, secret = self._discovered(), self._settings.client_id, self._settings.client_secret
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back, "code_verifier": verifier}
        key = None
        if not secret:
            form["client_id"] = client
        elif document.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            form |= {"client_id": client, "client_secret": secret.reveal()}
        else:  # RFC 6749 §2.3.1
            pair = f"{quote(client, safe='')}:{quote(secret.reveal(), safe='')}"
            key = Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")
        token = self._asked(str(document["token_endpoint"]), form, key).get("id_token")
        if not isinstance(token, str):
            raise SignInError("the provider gave no ID token: ask for the scope openid (setting ui.oidc.scope)")
        return token

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        given = (self._settings.issuer, self._settings.client_id, nonce, self._clock())
        try:
            try:
                return claims_of(token, self._published(KNOWN_S), *given)
            except UnknownKey:
                return claims_of(token, self._published(AGAIN_S), *given)
        except Untrusted as error:
            raise SignInError(f"the provider's ID token is not believed: {error}") from error

    def _signed(self, claims: Mapping[str, Any]) -> Signed:
        how = self._settings
        name = claims.get(how.name)
        if not isinstance(name, str) or not name.strip() or len(name) > NAME or visible(name) != name:
            raise SignInError(f"the ID token names nobody by the claim {how.name!r} (setting ui.oidc.name)")
        if how.name == "email" and claims.get("email_verified", True) not in (True, "true"):
            raise SignInError("the provider has not verified this e-mail address: anybody could have named it")
        told = claims.get(how.groups, ())
        groups = [told] if isinstance(told, str) else told if isinstance(told, list | tuple) else ()
        return Signed(name.strip(), tuple(group for group in groups if isinstance(group, str)))

    def _discovered(self) -> dict[str, Any]:
        """The discovery document (OpenID Connect Discovery 1.0, §4). Raises SignInError."""
        issuer = self._settings.issuer
        with self._lock:
            asked, document = self._document
            if self._clock() - asked < KNOWN_S:
                return document
        found = self._asked(issuer.rstrip("/") + "/.well-known/openid-configuration")
        places = [found.get(f"{name}_endpoint") for name in ("authorization", "token")] + [found.get("jwks_uri")]
        if found.get("issuer") != issuer:
            raise SignInError(
                f"the provider calls itself {str(found.get('issuer'))[:NAME]!r}, the setting ui.oidc.issuer {issuer!r}"
            )
        if not all(isinstance(place, str) and is_safe(place, issuer) for place in places):
            raise SignInError("the provider names no addresses by https for signing in, tokens and keys")
        with self._lock:
            self._document = self._clock(), found
        return found

    def _published(self, age_s: float) -> list[dict[str, Any]]:
        """The provider's keys, as asked for within `age_s`. Raises SignInError."""
        with self._lock:
            asked, keys = self._keys
            if self._clock() - asked < age_s:
                return keys
        found = self._asked(str(self._discovered()["jwks_uri"])).get("keys")
        keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
        with self._lock:
            self._keys = self._clock(), keys
        return keys

    def _asked(self, url: str, form: Mapping[str, str] | None = None, key: Secret | None = None) -> dict[str, Any]:
        try:
            found = fetch(url, self._declared, BOUNDS, form, key)
        except EndpointError as error:
            raise SignInError(f"the provider did not answer as it should: {visible(str(error))}") from error
        if not isinstance(found, dict):
            raise SignInError("the provider did not answer as it should: no object")
        return found


class SignIn(Struct, frozen=True):
    """What signing in takes."""

    provider: Provider
    sessions: Sessions


def page_of(text: str) -> str:
    """A page of ours, whatever an address names: after a sign-in nobody is sent elsewhere."""
    try:
        parts = urlsplit(text) if text.isprintable() else None
    except ValueError:  # a bracket that is no address
        parts = None
    ours = parts is not None and not parts.scheme and not parts.netloc and text.startswith("/")
    return text[:2000] if ours and not text.startswith("//") and "\\" not in text else "/"


def is_safe(url: str, issuer: str) -> bool:
    """Whether an address is by https; or on this machine, as its issuer is."""
    try:
        place, home = urlsplit(url), urlsplit(issuer)
    except ValueError:
        return False
    return bool(place.hostname) and (
        place.scheme == "https"
        or (place.scheme == "http" and loopback(url) and loopback(issuer) and home.scheme == "http")
    )


def loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    return urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}
