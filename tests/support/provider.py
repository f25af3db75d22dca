"""A little OpenID Connect provider on loopback, which speaks the real protocol and fails on cue."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "flywheel-ui", "s3cret/+ä"


class Provider:
    """Signs everybody in as `person`. As a context manager it answers at `issuer`.

    Tokens are made by another implementation of JWS than the one under test. `twist` changes claims, `sign` makes the
    token of them; each code is good once, for whoever has its PKCE verifier and the client's secret.
    """

    def __init__(self, algorithm: str = "RS256") -> None:
        self.key = _key(algorithm)
        self.algorithm = algorithm
        self.person: dict[str, Any] = {"sub": "4711", "email": "ana@example.org", "groups": ["support", "other"]}
        self.twist: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.sign: Callable[[dict[str, Any]], str] = self.token
        self.asked: list[str] = []
        """Paths that were asked for."""
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}/realms/team"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, claims: dict[str, Any]) -> str:
        """A token as it should be."""
        return jwt.encode({"alg": self.algorithm, "kid": self.key.kid}, claims, self.key)

    def turn_keys(self) -> None:
        """A new key, as providers make now and then."""
        self.key = _key(self.algorithm)

    def document(self) -> dict[str, Any]:
        """What it says of itself."""
        places = {name: f"{self.issuer}/{path}" for name, path in (
            ("authorization_endpoint", "authorize"), ("token_endpoint", "token"), ("jwks_uri", "keys"),
        )}  # fmt: skip
        return {"issuer": self.issuer, **places}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where it sends the browser back to: a person has just typed their password."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def change(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """A code for a token."""
        pair = base64.b64encode(f"{CLIENT}:{urlencode({'': SECRET})[1:]}".encode()).decode()
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if authorization != f"Basic {pair}" or asked is None or proof != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != asked["redirect_uri"] or form["grant_type"] != "authorization_code":
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        return 200, {
            "token_type": "Bearer",
            "access_token": "x",
            "id_token": self.sign(self.twist(claims | self.person)),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                provider.asked.append(parts.path)
                if parts.path.endswith("/authorize"):
                    self.send_response(302)
                    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
                    self.send_header("location", provider.authorize(given))
                    self.end_headers()
                elif parts.path.endswith("/keys"):
                    self._json(200, {"keys": [provider.key.as_dict(private=False, use="sig", alg=provider.algorithm)]})
                else:
                    self._json(200, provider.document())

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._json(*provider.change(form, self.headers.get("authorization", "")))

            def _json(self, status: int, found: dict[str, Any]) -> None:
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _key(algorithm: str) -> Any:
    return (
        RSAKey.generate_key(2048, auto_kid=True) if algorithm == "RS256" else ECKey.generate_key("P-256", auto_kid=True)
    )
