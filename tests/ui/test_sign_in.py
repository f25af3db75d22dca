"""Signing in by OpenID Connect: a real provider on loopback, whoever lies to us, and what a session lets one do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from starlette.testclient import TestClient

from schemas.errors import SettingsError
from schemas.secrets import Secret
from schemas.serving import AlertSettings, OidcSettings, UiSettings
from schemas.settings import Settings
from streams.lake import Lake
from tests.support.provider import CLIENT, SECRET, Provider
from ui.app import make_app
from ui.guard import unsafe
from ui.id_tokens import LEEWAY_S, Untrusted, claims_of
from ui.oidc import page_of
from ui.sessions import SESSION, Sessions

ROLES = {"support": "reviewer", "boss@example.org": "operator"}
BASE = "http://127.0.0.1:6067"


@pytest.fixture(params=["RS256", "ES256"])
def provider(request: Any) -> Iterator[Provider]:
    with Provider(request.param) as found:
        yield found


def settings_of(home: Path, issuer: str, **ui: Any) -> Settings:
    oidc = OidcSettings(issuer=issuer, client_id=CLIENT, client_secret=Secret(SECRET))
    how: dict[str, Any] = {"identity": "oidc", "oidc": oidc, "roles": ROLES, **ui}
    return Settings(home=str(home), ui=UiSettings(**how), alerts=AlertSettings(link=BASE))


class Browser:
    """A browser that follows no redirect by itself, so that a test can stand between."""

    def __init__(self, app: Any) -> None:
        self.client = TestClient(app, base_url=BASE, follow_redirects=False)

    def begin(self, path: str = "/failures?view=all") -> str:
        """To the provider's page; where that sends the browser back to."""
        asked = self.client.get(path)
        assert asked.status_code == 303
        sent = self.client.get(asked.headers["location"])
        assert sent.status_code == 303
        back = httpx.get(sent.headers["location"])
        return str(back.headers["location"])

    def sign_in(self, path: str = "/failures?view=all") -> Any:
        """All of it; what the app says at the end."""
        return self.client.get(self.begin(path).removeprefix(BASE))


@pytest.fixture
def app(provider: Provider, tmp_path: Path) -> Any:
    settings = settings_of(tmp_path, provider.issuer)
    found: Any = make_app(Lake(settings.lake_root), settings, keep=False)
    found.flywheel.refresh()
    return found


def test_unsigned_nobody_sees_a_page(app: Any) -> None:
    """Every page sends to the sign-in; what is no page is refused; that the app is up, and its files, may be known."""
    client = TestClient(app, base_url=BASE, follow_redirects=False)
    for path in ("/", "/failures", "/settings", "/sign-in/elsewhere", "/nowhere"):
        assert client.get(path).status_code == 303, path
    for headers in ({"sec-fetch-mode": "cors"}, {"hx-request": "true"}):
        assert client.get("/failures", headers=headers).status_code == 401
    assert client.post("/review/acts", headers={"content-type": "application/json"}, content=b"[]").status_code == 401
    assert client.get("/healthz").status_code == 200


def test_who_signs_in_has_the_role_of_their_group(provider: Provider, app: Any) -> None:
    """Back at the page that they wanted; their name is theirs in the app; of a group without a role one only reads."""
    ana = Browser(app)
    answer = ana.sign_in()
    page = ana.client.get("/settings")
    provider.person = {"sub": "9", "email": "rea@example.org", "groups": "nothing"}
    rea = Browser(app)
    rea.sign_in()

    assert (answer.status_code, answer.headers["location"]) == (303, "/failures?view=all")
    assert "ana@example.org" in page.text
    assert ana.client.get("/review/queue").status_code == 200
    assert rea.client.get("/settings").status_code == 200
    assert rea.client.get("/review/queue").status_code == 403


def test_the_session_is_a_cookie_that_no_script_and_no_other_site_has(app: Any) -> None:
    """HttpOnly, SameSite=Lax, for so many hours; no token of the provider is in it."""
    cookies = Browser(app).sign_in().headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith(f"{SESSION}="))
    held = base64.urlsafe_b64decode(session.partition("=")[2].partition(".")[0])

    assert "; HttpOnly; SameSite=Lax" in session
    assert "Max-Age=28800" in session
    assert set(json.loads(held)) == {"name", "group", "until"}
    assert json.loads(held)["group"] == "support"


def test_who_is_in_many_groups_has_the_role_of_the_best(provider: Provider, tmp_path: Path) -> None:
    """However many of them the settings know: the cookie stays so small that browsers keep it."""
    many = {f"cn=group-{n:04d},ou=teams,dc=example,dc=org": "reader" for n in range(200)} | {"zeta": "reviewer"}
    settings = settings_of(tmp_path, provider.issuer)
    settings = msgspec.structs.replace(settings, ui=msgspec.structs.replace(settings.ui, roles=many))
    app: Any = make_app(Lake(settings.lake_root), settings, keep=False)
    app.flywheel.refresh()
    provider.person = {"sub": "1", "email": "ana@example.org", "groups": list(many)}
    ana = Browser(app)
    ana.sign_in()

    assert ana.client.get("/review/queue").status_code == 200


def test_by_https_the_cookie_is_for_this_host_alone(tmp_path: Path) -> None:
    """`__Host-` and Secure: no neighbour of the domain sets it, and it crosses no network in the clear."""
    cookie = Sessions("key", secure=True).made(SESSION, {"name": "ana"}, 60)

    assert cookie.startswith("__Host-flywheel=")
    assert cookie.endswith("; Secure")
    clear = AlertSettings(link="http://wheel.example.org")
    settings = msgspec.structs.replace(settings_of(tmp_path, "https://id.example.org"), alerts=clear)
    with pytest.raises(SettingsError, match="https"):
        make_app(Lake(settings.lake_root), settings, keep=False)


def test_signing_out_ends_it(app: Any) -> None:
    """By a form with a token; a link of anybody else's signs nobody out."""
    ana = Browser(app)
    ana.sign_in()
    token = ana.client.get("/settings").text.partition('name="csrf" content="')[2].partition('"')[0]
    form = {"content-type": "application/x-www-form-urlencoded"}

    assert ana.client.post("/sign-out", headers=form, content="csrf=wrong").status_code == 403
    assert ana.client.post("/sign-out", headers=form, content=f"csrf={token}").status_code == 200
    assert ana.client.get("/settings").status_code == 303


def _other(claims: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**claims, **changed}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"nonce": "of another sign-in"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"aud": "another-app"}, "another client"),
        ({"aud": ["another-app"]}, "another client"),
        ({"aud": [CLIENT, "another-app"]}, "another client"),
        ({"aud": CLIENT, "azp": "another-app"}, "another client"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"exp": time.time() - LEEWAY_S - 5}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": "9999999999"}, "expired"),
        ({"iat": time.time() + LEEWAY_S + 9000}, "future"),
        ({"sub": ""}, "nobody"),
        ({"email": None}, "names nobody"),
        ({"email": "a\u202eb"}, "names nobody"),
        ({"email_verified": False}, "not verified"),
        ({"email_verified": [True]}, "not verified"),
    ],
)
def test_a_token_that_is_not_for_this_sign_in_signs_nobody_in(
    provider: Provider, app: Any, changed: dict[str, Any], why: str
) -> None:
    """Rightly signed, and of another time, client, issuer, sign-in or nobody."""
    provider.twist = lambda claims: _other(claims, **changed)
    browser = Browser(app)
    answer = browser.sign_in()

    assert answer.status_code == 403
    assert why in answer.text
    assert browser.client.get("/settings").status_code == 303


def _none(provider: Provider, claims: dict[str, Any]) -> str:
    return f"{_part({'alg': 'none'})}.{_part(claims)}."


def _public_key_as_secret(provider: Provider, claims: dict[str, Any]) -> str:
    """The classic: whoever knows the public key signs with it as if it were shared."""
    text = f"{_part({'alg': 'HS256', 'kid': provider.key.kid})}.{_part(claims)}"
    mark = hmac.new(provider.key.as_pem(private=False), text.encode(), hashlib.sha256).digest()
    return f"{text}.{_text(mark)}"


def _key_of_their_own(provider: Provider, claims: dict[str, Any]) -> str:
    """Under the name of the provider's key."""
    with Provider(provider.algorithm) as other:
        head = {"alg": provider.algorithm, "kid": provider.key.kid, "jwk": other.key.as_dict(private=False)}
        from joserfc import jwt  # noqa: PLC0415 here alone

        return jwt.encode(head, claims, other.key)


def _edited(provider: Provider, claims: dict[str, Any]) -> str:
    head, _, mark = provider.token(claims).split(".")
    return f"{head}.{_part({**claims, 'email': 'boss@example.org'})}.{mark}"


def _critical(provider: Provider, claims: dict[str, Any]) -> str:
    _, said, mark = provider.token(claims).split(".")
    return f"{_part({'alg': provider.algorithm, 'crit': ['b64'], 'b64': False})}.{said}.{mark}"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _part(value: Any) -> str:
    return _text(json.dumps(value).encode())


FORGED = [
    _none,
    _public_key_as_secret,
    _key_of_their_own,
    _edited,
    _critical,
    lambda *_: "x",
    lambda *_: "a.b.c",
    lambda *_: "é.e.e",
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_signs_nobody_in(provider: Provider, app: Any, forged: Any) -> None:
    """Unsigned, signed by a public key, by a key of one's own, changed afterwards, or no token."""
    provider.sign = lambda claims: forged(provider, claims)
    browser = Browser(app)

    assert browser.sign_in().status_code == 403
    assert browser.client.get("/settings").status_code == 303


def test_a_sign_in_comes_back_once_and_to_its_own_browser(provider: Provider, app: Any) -> None:
    """The same address again, another browser's, one without a state: none signs anybody in."""
    ana, eve = Browser(app), Browser(app)
    back = ana.begin().removeprefix(BASE)
    kept = dict(ana.client.cookies)
    stolen = eve.client.get(back)
    first = ana.client.get(back)
    again = TestClient(app, base_url=BASE, cookies=kept, follow_redirects=False).get(back)
    bare = Browser(app)
    bare.begin()

    assert (stolen.status_code, first.status_code, again.status_code) == (403, 303, 403)
    assert "come back before" in again.text
    assert bare.client.get("/sign-in/back?code=x").status_code == 403
    assert eve.client.get("/settings").status_code == 303


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "/a\r\nset-cookie: x=y", "evil.example", "", "http:evil.example", "///evil.example", "/\t/evil.example",
     "//[", "//[x]/"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(app: Any, elsewhere: str) -> None:
    """Whatever an address names as the page that was wanted: it is a page of ours."""
    browser = Browser(app)
    sent = browser.client.get("/sign-in", params={"then": elsewhere})
    back = httpx.get(sent.headers["location"]).headers["location"]
    answer = browser.client.get(back.removeprefix(BASE))

    assert page_of(elsewhere) == "/"
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert parse_qs(urlsplit(sent.headers["location"]).query)["redirect_uri"] == [f"{BASE}/sign-in/back"]


def test_a_session_that_we_did_not_make_is_none(app: Any) -> None:
    """Made up, changed, or the cookie of a sign-in that is under way in a session's place."""
    ana = Browser(app)
    ana.sign_in()
    text = ana.client.cookies[SESSION]
    body, _, mark = text.partition(".")
    fields = json.loads(base64.urlsafe_b64decode(body)) | {"group": "boss@example.org", "name": "boss@example.org"}
    forged = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
    begun = Browser(app)
    begun.begin()
    other = begun.client.cookies["flywheel-sign-in"]
    for cookie in (f"{forged}.{mark}", body, "", "x.y", f"{body}.{mark[:-1]}x", other):
        client = TestClient(app, base_url=BASE, cookies={SESSION: cookie}, follow_redirects=False)
        assert client.get("/settings").status_code == 303, cookie


def test_a_session_ends(tmp_path: Path) -> None:
    """After its hours, whatever the browser still sends."""
    now = [1000.0]
    sessions = Sessions("key", secure=False, clock=lambda: now[0])
    cookie = sessions.made(SESSION, {"name": "ana"}, 60).partition("=")[2].partition(";")[0]
    held = sessions.read(SESSION, {SESSION: cookie})
    now[0] += 61

    assert held["name"] == "ana"
    assert sessions.read(SESSION, {SESSION: cookie}) == {}
    assert Sessions("another", secure=False, clock=lambda: 1000.0).read(SESSION, {SESSION: cookie}) == {}


def test_keys_that_the_provider_changed_are_asked_for(provider: Provider, app: Any) -> None:
    """At once where a token names one that is unknown, and once a minute at most, whatever tokens name."""
    Browser(app).sign_in()
    provider_of = app._app.state.sign_in.provider
    provider_of._clock = lambda: time.time() + 61
    provider.turn_keys()
    provider.twist = lambda claims: claims | {"exp": time.time() + 300, "iat": time.time()}
    assert Browser(app).sign_in().status_code == 303
    before = provider.asked.count("/realms/team/keys")
    provider.turn_keys()
    for _ in range(3):
        provider.sign = provider.token
        assert Browser(app).sign_in().status_code == 403

    assert provider.asked.count("/realms/team/keys") == before


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": "https://evil.example"}, "calls itself"),
        ({"token_endpoint": "http://evil.example/token"}, "https"),
        ({"jwks_uri": None}, "https"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "https"),
    ],
)
def test_a_provider_that_is_another_is_not_believed(
    provider: Provider, app: Any, changed: dict[str, Any], why: str
) -> None:
    """It must call itself what the setting does, and be reached by https."""
    honest = provider.document()
    provider.document = lambda: honest | changed  # type: ignore[method-assign]
    answer = TestClient(app, base_url=BASE, follow_redirects=False).get("/sign-in")

    assert answer.status_code == 502
    assert why in answer.text


def test_a_provider_that_is_away_is_said_and_the_secret_never(app: Any, provider: Provider, caplog: Any) -> None:
    """In a plain page; neither there nor in the log is the client's secret, nor a token."""
    caplog.set_level(logging.DEBUG)
    browser = Browser(app)
    back = browser.begin().removeprefix(BASE)
    provider.change = lambda _form, authorization: (500, {"error": authorization})  # type: ignore[method-assign]
    answer = browser.client.get(back)

    assert answer.status_code == 403
    assert "did not answer as it should" in answer.text
    for told in (answer.text, caplog.text):
        assert "s3cret" not in told
        assert base64.b64encode(b"flywheel-ui:s3cret").decode()[:20] not in told


def test_read_only_holds_for_whoever_signs_in(provider: Provider, tmp_path: Path) -> None:
    """`ui.readonly`: an operator writes nothing either, and may leave all the same."""
    settings = settings_of(tmp_path, provider.issuer, readonly=True)
    app: Any = make_app(Lake(settings.lake_root), settings, keep=False)
    app.flywheel.refresh()
    provider.person = {"sub": "1", "email": "boss@example.org"}
    boss = Browser(app)
    boss.sign_in()
    headers = {"content-type": "application/json", "x-csrf": app.token_of("boss@example.org")}

    assert boss.client.get("/settings").status_code == 200
    assert boss.client.post("/review/acts", headers=headers, content=b"[]").status_code == 403
    assert boss.client.post("/sign-out", headers=headers).status_code == 200
    assert boss.client.get("/settings").status_code == 303


def test_strangers_lock_nobody_out(provider: Provider, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins sign-ins without end, and comes back without a code, costs others nothing."""
    monkeypatch.setattr("ui.oidc.MOST", 3)
    for _ in range(5):
        stranger = Browser(app)
        stranger.client.get(stranger.begin().removeprefix(BASE).replace("code=", "no-code="))

    assert Browser(app).sign_in().status_code == 303


def test_settings_that_name_no_provider_do_not_start(tmp_path: Path) -> None:
    """Or one that is reached in the clear."""
    assert "ui.oidc.issuer" in unsafe(UiSettings(identity="oidc"))
    assert "https" in unsafe(UiSettings(identity="oidc", oidc=OidcSettings(issuer="http://id.example", client_id="x")))
    good = OidcSettings(issuer="https://id.example", client_id="x")
    assert unsafe(UiSettings(identity="oidc", oidc=good, host="0.0.0.0")) == ""


def test_a_short_key_proves_nothing() -> None:
    """1024 bits are broken by whoever pays for it."""
    from joserfc import jwt  # noqa: PLC0415 here alone
    from joserfc.jwk import RSAKey  # noqa: PLC0415

    key = RSAKey.generate_key(1024, auto_kid=True)
    claims = {"iss": "i", "aud": "c", "nonce": "n", "iat": 10, "exp": 100, "sub": "s"}
    token = jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    with pytest.raises(Untrusted, match="signature"):
        claims_of(token, [key.as_dict(private=False)], "i", "c", "n", 50)
