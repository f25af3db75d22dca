"""Forty texts of strangers in every field that a page shows: they are words, whatever they look like."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.testclient import TestClient

from flows.curate.golden import Book, Written, acts
from flows.testing.events import event_id
from schemas.events import Interaction
from tests.support.clusters import asked, said
from tests.support.pages import needs_chromium, served
from tests.support.payloads import PAYLOADS
from tests.support.turned import turned
from ui.app import make_app
from ui.words import LONGEST, line, rich


class Tags(HTMLParser):
    """What a page is made of, beside our own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "style",
            "video",
            "template",
            "math",
            "x",
            "use",
            "animate",
        }:
            self.bad.append(tag)
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.bad.append("script")
        self.bad += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style" or "hx-on" in name]
        if re.match(r"\s*(javascript|data|vbscript):", given.get("href", ""), re.IGNORECASE):
            self.bad.append(f"{tag} {given['href'][:40]}")
        if tag in {"form", "link"} and "//" in given.get("action", given.get("href", "")):
            self.bad.append(tag)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The wheel, turned by strangers: questions, answers, tools, names, models and comments are payloads."""

    def dress(row: Interaction, n: int) -> dict[str, Any]:
        text = PAYLOADS[n % len(PAYLOADS)]
        call = {"function": {"name": text[:60] or "x", "arguments": f'{{"a": "{n}"}}'}, "id": "c1", "type": "function"}
        question = f"{row.input_messages[0].content} {text}"
        return {
            "conversation_id": f"{text[:100]}-{n // 2}", "user_id": f"{text[:100]}-{n}",
            "request_model": text[:40] if n % 9 == 0 else row.request_model,
            "prompt_version": text[:60] if n % 7 == 0 else None,
            "variant": text[:60] if n % 5 == 0 else None, "error_type": text[:60] if n % 11 == 0 else None,
            "system_instructions": text,
            "input_messages": [{"role": "system", "content": text}, {"role": "user", "content": question}],
            "output_messages": [{"role": "assistant", "content": f"**{text}** {text}\n\n{text}", "tool_calls": [call]}],
        }  # fmt: skip

    world = turned(tmp_path_factory.mktemp("hostile"), dress)
    first = [asked(n, conversation_id=f"{PAYLOADS[n][:100]}-{n // 2}") for n in range(40)]
    world.happened(
        *[said(one, "comment", None, text=PAYLOADS[n], source=PAYLOADS[n][:60]) for n, one in enumerate(first)],
        *[said(one, "label", None, label=PAYLOADS[n][:60]) for n, one in enumerate(first)],
        *[
            said(one, "reviewer", float(good), source=f"reviewer:{PAYLOADS[n][: 50 + good]}", label="random")
            for n, one in enumerate(first)
            for good in (0, 1)
        ],
    )
    dirty = Written("\n".join(PAYLOADS), "\n".join(PAYLOADS), " ".join(PAYLOADS), PAYLOADS[7])
    Book(world.lake, world.settings, PAYLOADS[0], first[0].time).add(dirty, PAYLOADS[1])
    return world


def paths(world: Any) -> list[str]:
    """Every page that shows any of it."""
    app: Any = make_app(world.lake, world.settings, keep=False)
    state = app.flywheel
    state.refresh()
    some = [f"/conversations/{event_id(n)}" for n in range(40)]
    sets = [f"/datasets/{one.dataset}/{one.version}{tail}" for one in state.datasets for tail in ("", "/rows")]
    found = [f"/failures/{one.cluster_id}" for one in state.clusters.living]
    (golden,) = {one.item_id for one in acts(world.lake, "support-bot")}
    lists = [
        "/",
        "/failures?view=all",
        "/failures?view=map",
        "/conversations",
        "/usage",
        "/alerts",
        "/evaluations",
        "/ledger",
        "/settings",
        "/golden",
        f"/golden/{golden}",
        "/review",
        "/review/ahead?besides=",
        "/review/agreement",
    ]
    asked_of = [f"/review/queue?item={event_id(n)}" for n in range(40)]
    typed = [f"/review/queue?q={text[:20]}&cluster={text[:20]}" for text in ("<script>", "{{7*7}}", '"><img')]
    typed += [f"/conversations?q={text[:20]}" for text in ("<script>", "{{7*7}}", '"><img')]
    return [*lists, *found, *some, *asked_of, *sets, *typed]


def test_no_text_becomes_anything_but_text(world: Any) -> None:
    """On every page: no tag, no handler, no address of theirs; templates are not theirs to fill."""
    app: Any = make_app(world.lake, world.settings, keep=False)
    app.flywheel.refresh()
    client = TestClient(app, base_url="http://127.0.0.1:6067")
    for path in paths(world):
        text = client.get(path).text
        assert Tags(text).bad == [], path
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "{{7*7}}" in client.get(f"/conversations/{event_id(23)}").text


@needs_chromium
@pytest.mark.integration
def test_nothing_of_it_runs_in_a_browser(world: Any, browser: Any) -> None:
    """In a real Chromium: no script of theirs has run, nothing foreign was asked for."""
    foreign: list[str] = []
    with served(world.lake, world.settings) as (address, _):
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(address) else None)
        for path in [*paths(world)[:12], *(f"/conversations/{event_id(n)}" for n in range(0, 40, 3))]:
            page.goto(address + path)
            assert page.evaluate("() => window.hit") is None, path
        page.close()

    assert foreign == []


@pytest.mark.parametrize("text", PAYLOADS)
def test_markdown_of_a_model_is_words_and_form(text: str) -> None:
    """Rendered answers hold no tag that was written in them, no image, and no address but of the web and mail."""
    assert Tags(str(rich(text))).bad == []
    assert "<" not in line(text) or "<" in text


def test_a_long_answer_is_cut_before_it_is_rendered() -> None:
    """A page of a megabyte is nobody's reading; deep nesting ends."""
    assert len(rich("word " * 400_000)) < 2 * LONGEST
    assert len(rich("> " * 5_000 + "x")) < 50 * LONGEST
    assert len(rich("[" * 20_000)) < 8 * LONGEST
