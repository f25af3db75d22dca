"""Who may ask what: each line of docs/ui.md, against the app as it is served."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from schemas.errors import SettingsError
from schemas.serving import UiSettings
from schemas.settings import Settings
from ui.guard import WRITES, Guard, Needs, Person, unsafe
from ui.html import STATIC
from ui.pages import ROUTERS

FORM = {"content-type": "application/x-www-form-urlencoded"}


def token(client: TestClient, **headers: str) -> str:
    """The token in a page."""
    return client.get("/", headers=headers).text.partition('name="csrf" content="')[2].partition('"')[0]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:6067", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_is_refused_and_told_the_setting(client_of: Any, host: str) -> None:
    """No page elsewhere reaches the app under a name of its own (DNS rebinding)."""
    answer = client_of().get("/", headers={"host": host})

    assert answer.status_code == 421
    assert "ui.names" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:6067", "localhost:6067", "[::1]:6067", "wheel.example.org"])
def test_names_that_are_ours_are_answered(client_of: Any, host: str) -> None:
    """Loopback's names, and those of the setting."""
    assert client_of(names=("wheel.example.org",)).get("/", headers={"host": host}).status_code == 200


def test_every_answer_carries_the_policy(client_of: Any) -> None:
    """Pages, files and refusals alike: no script and no style that is not our file, no frame, no cache."""
    client = client_of()
    for path in ("/", "/nowhere", "/healthz"):
        answer = client.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in client.get("/", headers={"host": "evil"}).headers["content-security-policy"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "application/json"}, b"{}", 403),
        ({"content-type": "application/json", "x-csrf": "wrong"}, b"{}", 403),
        ({"content-type": "text/plain", "x-csrf": "TOKEN"}, b"{}", 415),
        ({"content-type": "application/json", "x-csrf": "TOKEN", "sec-fetch-site": "cross-site"}, b"{}", 403),
        ({"content-type": "application/json", "x-csrf": "TOKEN", "sec-fetch-site": "same-site"}, b"{}", 403),
        ({"content-type": "application/json", "x-csrf": "TOKEN"}, b"x" * 300_000, 413),
        (FORM, b"csrf=wrong", 403),
    ],
)
def test_a_write_needs_a_token_our_origin_and_a_small_body(
    client_of: Any, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Each lack is refused by its own status."""
    client = client_of()
    mine = {name: value.replace("TOKEN", token(client)) for name, value in headers.items()}

    assert client.post("/", headers=mine, content=body).status_code == status


def test_a_form_may_carry_the_token_in_its_body(client_of: Any) -> None:
    """So that writing works without JavaScript; the page itself then says what it does not take (405)."""
    client = client_of()

    assert client.post("/", headers=FORM, content=f"csrf={token(client)}").status_code == 405


def test_read_only_means_that_nobody_writes(client_of: Any) -> None:
    """Whoever they are."""
    client = client_of(readonly=True)
    answer = client.post("/", headers={"x-csrf": token(client), "content-type": "application/json"}, content=b"{}")

    assert answer.status_code == 403
    assert "ui.readonly" in answer.text


def test_patience_ends_at_the_limit(client_of: Any) -> None:
    """One write more than the limit in a minute is refused."""
    client = client_of()
    mine = {"x-csrf": token(client), "content-type": "application/json"}
    found = [client.post("/", headers=mine, content=b"{}").status_code for _ in range(WRITES + 1)]

    assert set(found[:-1]) == {405}
    assert found[-1] == 429


def person(client: TestClient, **headers: str) -> Person:
    """Whom the guard takes the sender for."""
    seen: list[Person] = []
    guard: Any = client.app
    inside = guard._app

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"]["person"])
        await inside(scope, receive, send)

    guard._app, kept = spy, guard._app
    try:
        client.get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    finally:
        guard._app = kept
    return seen[0]


def test_a_trusted_proxy_names_people_and_nobody_else_does(client_of: Any) -> None:
    """The header of a stranger is nothing; a group gives its role; without a role one reads."""
    known = {
        "identity": "header",
        "trusted_proxies": ("10.0.0.7",),
        "roles": {"ana": "operator", "support": "reviewer"},
    }
    proxy, stranger = client_of(client=("10.0.0.7", 1), **known), client_of(client=("10.0.0.8", 1), **known)

    assert person(proxy, x_forwarded_user="ana").role == "operator"
    assert person(proxy, x_forwarded_user="ben", x_forwarded_groups="other, support").role == "reviewer"
    assert person(proxy, x_forwarded_user="chi").role == "reader"
    assert person(stranger, x_forwarded_user="ana") == person(stranger)
    assert person(stranger).role == "reader"


def test_one_persons_token_is_not_anothers(client_of: Any) -> None:
    """A token names its person."""
    proxy = client_of(identity="header", roles={"ana": "operator", "ben": "operator"})
    anas = token(proxy, **{"x-forwarded-user": "ana"})
    headers = {"x-csrf": anas, "content-type": "application/json", "x-forwarded-user": "ben"}

    assert proxy.post("/", headers=headers, content=b"{}").status_code == 403


def test_open_to_others_without_names_it_does_not_start(tmp_path: Any, client_of: Any) -> None:
    """Else anybody on the network could decide."""
    with pytest.raises(SettingsError, match=r"ui\.identity"):
        client_of(host="0.0.0.0")

    assert unsafe(UiSettings(host="0.0.0.0", identity="header")) == ""


def test_every_route_names_a_role(client_of: Any) -> None:
    """No page can be added that forgets to ask; files of ours and /healthz say nothing of anybody."""
    guard: Any = client_of().app
    assert isinstance(guard, Guard)
    assert len(routes(guard)) > 30
    silent = [route.path for route in routes(guard) if not roles(route)]

    assert sorted(silent) == ["/healthz", "/sign-in", "/sign-in/back", "/static/{version}/{name}"]


def test_a_reader_may_write_nothing(client_of: Any) -> None:
    """Every address that takes a write, asked by somebody who only reads: refused, whatever is sent."""
    proxy = client_of(identity="header", roles={"rea": "reader"})
    guard: Any = proxy.app
    headers = {"x-forwarded-user": "rea", "x-csrf": guard.token_of("rea"), **FORM}
    writes = [route for route in routes(guard) if "POST" in route.methods and route.path != "/sign-out"]
    answers = {
        route.path: proxy.post(re.sub(r"\{.*?\}", "x", route.path), headers=headers).status_code for route in writes
    }

    assert len(answers) >= 6
    assert set(answers.values()) == {403}, answers


def routes(guard: Any) -> list[APIRoute]:
    """All of them: the app's own, and those of the pages, which FastAPI keeps in their routers."""
    every = [*guard._app.routes, *(route for router in ROUTERS for route in router.routes)]
    return [route for route in every if isinstance(route, APIRoute)]


def roles(route: APIRoute) -> list[Needs]:
    """The roles that a route asks for."""
    return [found.call for found in route.dependant.dependencies if isinstance(found.call, Needs)]


def test_what_others_wrote_is_what_it_was() -> None:
    """The vendored files are the released ones, byte by byte, with their licences beside them."""
    known = {
        "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
        "inter.woff2": "3100e775e8616cd2611beecfa23a4263d7037586789b43f035236a2e6fbd4c62",
    }

    assert {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in known} == known
    assert all((STATIC / f"{name}.LICENSE").exists() for name in ("htmx", "inter"))


def test_a_file_under_another_hash_is_not_there(client_of: Any) -> None:
    """An old page gets no file of another version, and no file of ours but those in the folder."""
    client = client_of()

    assert client.get("/static/0123456789ab/app.css").status_code == 404
    assert client.get("/static/0123456789ab/..%2Fapp.py").status_code == 404


def test_a_page_that_is_not_there_says_so(client_of: Any) -> None:
    """With the frame around it, so that one finds back."""
    answer = client_of().get("/nowhere")

    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_the_settings_are_those_of_the_page() -> None:
    """What docs/ui.md names is there."""
    assert Settings().ui.identity == "local"
