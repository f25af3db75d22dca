"""People who review: a client of the app for each, as a proxy signs them in, and what is in a page's form."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
from starlette.testclient import TestClient

from schemas.serving import UiSettings
from schemas.settings import Settings
from streams.lake import Lake
from ui.app import make_app
from ui.state import State

ROLES = {"ana": "reviewer", "ben": "reviewer", "chi": "reviewer", "rea": "reader"}


def for_people(settings: Settings, home: Path) -> Settings:
    """Settings by which a proxy names people, with a home (outbox, index, secrets) of its own."""
    ui = msgspec.convert({"identity": "header", "roles": ROLES}, UiSettings)
    return msgspec.structs.replace(settings, ui=ui, home=str(home))


class People:
    """The app over a lake, and a client of it for each person."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.app: Any = make_app(lake, settings, keep=False)
        self.state: State = self.app.flywheel
        self.state.refresh()

    def client(self, name: str) -> TestClient:
        """Their browser; redirects are not followed."""
        return TestClient(
            self.app, base_url="http://127.0.0.1:6067", client=("127.0.0.1", 5), headers={"x-forwarded-user": name},
            follow_redirects=False,
        )  # fmt: skip

    def send(self, name: str, *acts: dict[str, str]) -> Any:
        """What a page's script sends."""
        headers = {"x-csrf": self.app.token_of(name), "content-type": "application/json"}
        return self.client(name).post("/review/acts", headers=headers, content=msgspec.json.encode(acts))


class Form(HTMLParser):
    """A page's forms: (label, action) and the fields that they send, buttons apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self.article = ""
        self._in: dict[str, str] | None = None
        self._depth = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Note a form, a field of it, or where the question begins."""
        given = {name: value or "" for name, value in attrs}
        self._depth += tag == "article"
        if tag == "form":
            self._in = self.forms.setdefault(given.get("aria-label", ""), {})
        if tag == "input" and given.get("type") == "hidden" and self._in is not None:
            self._in[given["name"]] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        """Leave it."""
        self._depth -= tag == "article"
        if tag == "form":
            self._in = None

    def handle_data(self, data: str) -> None:
        """Collect the words of the question."""
        if self._depth:
            self.article += data


def question(client: TestClient, path: str = "/review/queue") -> dict[str, str]:
    """The fields of the question that a page asks; {} where it asks none."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return Form(answer.text).forms.get("Your answer", {})
