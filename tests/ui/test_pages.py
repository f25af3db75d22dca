"""Pages over a wheel that has turned: they say what the lake says, every link leads on, every filter is an address."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from starlette.testclient import TestClient

from flows import ledger
from flows.testing.events import event_id
from schemas.records import make_candidate
from streams.lake.append import append, to_rows
from streams.lake.query import rows as stored
from tests.support.clusters import World
from tests.support.promotion import WORSE, evaluated
from tests.support.turned import CORRECTION, turned
from ui.app import make_app
from ui.index.search import words_of
from ui.pages.failures import Row, _grouped

UI = Path(__file__).parents[2] / "ui"


class Links(HTMLParser):
    """The addresses of a page's links, and what could run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.bad: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href", "").startswith("/"):
            self.hrefs.append(given["href"])
        if tag == "script":
            self.scripts += 1
        if tag in {"style", "iframe", "object", "embed", "base", "form"} and tag != "form":
            self.bad.append(tag)
        self.bad += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        href = (given.get("href") or given.get("src") or "").strip().lower()
        if href.startswith(("javascript:", "data:", "//")) or (tag == "img" and href):
            self.bad.append(f"{tag} {href}")


def links(client: TestClient, path: str) -> Links:
    answer = client.get(path)
    assert answer.status_code == 200, f"{path}: {answer.text[-400:]}"
    return Links(answer.text)


def token(client: TestClient) -> str:
    return client.get("/").text.partition('name="csrf" content="')[2].partition('"')[0]


def test_every_link_leads_to_a_page(client: TestClient) -> None:
    """From the overview, everything that can be reached by links is there, and nothing of it could run."""
    seen: dict[str, str] = {}
    waiting = ["/"]
    while waiting and len(seen) < 300:
        path = waiting.pop(0)
        kind = re.sub(r"[0-9a-f]{8,}[0-9a-f-]*", "*", path)
        if Counter(seen.values())[kind] >= 3:
            continue
        seen[path] = kind
        if path.endswith("/text") or path.startswith("/static"):
            continue
        found = links(client, path.partition("#")[0])
        assert found.bad == []
        assert found.scripts == (3 if path.startswith("/review/queue") else 2)
        waiting += [href for href in found.hrefs if href not in seen and href not in waiting]

    kinds = {urlsplit(path).path.split("/")[1] for path in seen}
    assert kinds >= {"", "failures", "conversations", "datasets", "evaluations", "ledger", "usage", "settings"}


def test_regressed_new_and_growing_come_first(client: TestClient, world: World) -> None:
    """Whatever their rates are: a planted regression is the first row."""
    some = world.clusters()[0]
    states = ("steady", "resolved", "growing", "new", "regressed", "shrinking")
    rows = [Row(msgspec.structs.replace(some, cluster_id=state, status=state), None, 0.0, ()) for state in states]  # type: ignore[arg-type]
    groups = _grouped(rows, "all")

    assert [(name, [row.cluster.status for row in part]) for name, part in groups] == [
        ("Needs a decision", ["regressed", "new", "growing"]),
        ("Watching", ["steady", "shrinking"]),
        ("Resolved", ["resolved"]),
    ]
    assert world.clusters()[0].name.split(" / ")[0] in client.get("/failures").text


def test_a_cluster_shows_its_figures_examples_and_comments(client: TestClient, world: World) -> None:
    """Rate, trend, reasons, questions with answers, and what customers wrote."""
    one = next(each for each in world.clusters() if "refund" in each.name)
    text = client.get(f"/failures/{one.cluster_id}").text

    assert f"{one.rate * 100:.1f} %" in text if one.rate else True
    assert CORRECTION in text
    assert "thumb down" in text
    assert 'aria-label="Share of interactions that failed this way' in text


def test_a_filter_counts_what_it_leaves(client: TestClient, world: World) -> None:
    """Of one model only: the rates of the list are of its traffic."""
    text = client.get("/failures?view=all&model=new").text

    assert "<b>20</b> of <b>40</b>" in text


@pytest.mark.parametrize(
    "query", ['"', "'", "*", "refund AND", "NEAR(", "a OR", "{x}:", "-", "\\", "refund\x00", "”“", "(", "%"]
)
def test_whatever_is_typed_is_only_words(client: TestClient, query: str) -> None:
    """No character of a question is a command of the search."""
    assert client.get("/conversations", params={"q": query}).status_code == 200


@pytest.mark.parametrize("number", ["²", "-1", "x", "9" * 30, "9" * 5000])
def test_a_number_in_an_address_may_be_anything(client: TestClient, number: str) -> None:
    """Digits that are no decimals, and more of them than any number of ours has."""
    assert client.get("/conversations", params={"before": number}).status_code == 200


def test_words_find_what_has_them(client: TestClient) -> None:
    """All words, in any order, the last one as a beginning; questions and answers."""
    assert words_of("Where's my Parcel?") == ["Where", "s", "my", "Parcel"]
    for query, wanted in (("refund", True), ("PAID refund", True), ("pass", True), ("answer", True), ("zebra", False)):
        found = "data-step" in client.get("/conversations", params={"q": query}).text
        assert found is wanted, query


def test_pages_of_a_list_show_everything_once(client: TestClient, world: World) -> None:
    """Following "Older" to the end meets each of the 160 interactions once, newest arrival first."""
    ids: list[str] = []
    path = "/conversations"
    while path:
        text = client.get(path).text
        ids += re.findall(r'data-step href="/conversations/([0-9a-f-]{36})#', text)
        found = re.findall(r'class="btn" href="([^"]*before=[^"]*)"', text)
        path = found[0].replace("&amp;", "&") if found else ""

    assert sorted(ids) == sorted(world.outcomes())
    assert len(ids) == 160


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("outcome=failed", 80),
        ("model=new", 40),
        ("model=new&outcome=failed", 20),
        ("user=user-7", 1),
        ("conversation=conversation-3", 1),
    ],
)
def test_filters_are_the_address(client: TestClient, query: str, count: int) -> None:
    """What an address asks for is what is listed."""
    assert f"<b>{count}</b>" in client.get(f"/conversations?{query}").text


def test_meaning_finds_failures_alike(client: TestClient) -> None:
    """A sentence in one's own words finds the topic, without a word in common with most of it."""
    text = client.get("/conversations", params={"like": "give me my cash back, where is the refund"}).text
    first = re.findall(r'class="cut strong">([^<]*)<', text)[:5]

    assert len(first) == 5
    assert all("refund" in each for each in first)


def test_a_conversation_shows_all_that_was_said_and_where_it_lies(client: TestClient) -> None:
    """Question, answer, every voice in its place, the outcome with its arithmetic, partition and offset."""
    text = client.get(f"/conversations/{event_id(0)}").text

    for words in (
        "I want a refund",
        "An answer.",
        "thumb down",
        "corrected",
        CORRECTION,
        "failed",
        "partition 0, offset",
    ):
        assert words in text
    assert "30 s later" in text


def test_a_row_of_a_dataset_leads_to_its_offset_in_three_clicks(client: TestClient) -> None:
    """Datasets ▸ version's rows ▸ row: event, partition and offset stand there."""
    first = next(href for href in links(client, "/datasets").hrefs if re.fullmatch(r"/datasets/all/[0-9a-f]+", href))
    rows = next(href for href in links(client, first).hrefs if "/rows" in href)
    row = next(href for href in links(client, rows).hrefs if re.search(r"/rows/[0-9a-f]+$", href))
    text = client.get(row).text

    assert re.search(r"llm\.interactions, partition 0, offset \d+", text)


def test_rows_whose_files_are_missing_are_not_no_rows(client: TestClient, world: World) -> None:
    """Their page says what is missing and what to do; a row of another version is shown all the same."""
    app: Any = client.app
    lost, other = (one for one in app.flywheel.datasets if one.dataset == "all")
    at = f"/datasets/all/{other.version}/rows"
    row = next(href for href in links(client, at).hrefs if href.startswith(f"{at}/"))
    folder = lost.folder(world.settings)
    aside = folder.rename(folder.with_name("aside"))
    try:
        missing, there = client.get(f"/datasets/all/{lost.version}/rows"), client.get(row)
    finally:
        aside.rename(folder)

    assert (missing.status_code, there.status_code) == (422, 200)
    assert f"flywheel dataset lost {lost.version}" in missing.text


def test_left_out_rows_have_a_reason_in_words(client: TestClient, world: World) -> None:
    """Every reason of a manifest stands on its card with its meaning."""
    app: Any = client.app
    for one in app.flywheel.datasets:
        text = client.get(f"/datasets/{one.dataset}/{one.version}").text
        for reason, number in one.manifest.get("dropped", {}).items():
            assert reason.replace("_", " ") in text
            assert f"{number:,}" in text


@pytest.fixture
def fresh(tmp_path: Path) -> tuple[World, TestClient]:
    """A world of one's own, to decide in."""
    world = turned(tmp_path)
    app: Any = make_app(world.lake, world.settings, keep=False)
    app.flywheel.refresh()
    return world, TestClient(app, base_url="http://127.0.0.1:6067")


def decide(client: TestClient, evaluation: str, word: str, why: str) -> Any:
    form = {"csrf": token(client), "decision": word, "reason": why}
    return client.post(f"/evaluations/{evaluation}/decision", data=form, follow_redirects=False)


def test_an_approval_is_a_ledger_row_and_the_champion_of_the_overview(fresh: tuple[World, TestClient]) -> None:
    """Approve ▸ ledger row with name and reason, chain verified ▸ the overview names the new champion."""
    world, client = fresh
    assert "Approve promotion" in client.get("/evaluations/e1").text
    answer = decide(client, "e1", "promote", "it answers better <b>by far</b>")
    decided = ledger.fold(world.lake, "support-bot").decisions[-1]

    assert answer.status_code == 303
    assert decided.action == "promoted"
    assert any("it answers better <b>by far</b>" in reason for reason in decided.reasons)
    assert "verified now" in client.get("/ledger").text
    assert "new serves since" in client.get("/").text
    assert decide(client, "e1", "reject", "twice").status_code == 409


@pytest.mark.parametrize(
    ("word", "why", "status"), [("promote", "", 422), ("yes", "because", 422), ("promote", "because", 409)]
)
def test_without_the_verdict_there_is_nothing_to_approve(
    fresh: tuple[World, TestClient], word: str, why: str, status: int
) -> None:
    """Not by the button, which is off, nor by the address: no evidence, no promotion."""
    world, client = fresh
    app: Any = client.app
    evaluated(world.lake, "e2", WORSE, dataset=app.flywheel.evaluations[0].dataset_version)
    app.flywheel.refresh()
    page = client.get("/evaluations/e2").text
    answer = decide(client, "e2", word, why)

    assert re.search(r'value="promote" disabled', page)
    assert answer.status_code == status
    assert ledger.fold(world.lake, "support-bot").champion == make_candidate("old", "http://127.0.0.1:1/v1")


def test_a_tampered_ledger_names_the_row(fresh: tuple[World, TestClient]) -> None:
    """Somebody writes a row that does not follow: the page says which, while it is made."""
    world, client = fresh
    rows = stored(world.lake, "ledger")
    forged = {**rows[0], "id": event_id(77), "sequence": len(rows), "hash": "0" * 64}
    append(world.lake, "ledger", to_rows("ledger", [forged]), {})
    text = client.get("/ledger").text

    assert "the chain is broken" in text
    assert f"row {len(rows)}" in text


def test_usage_counts_what_applications_sent(client: TestClient) -> None:
    """Tokens by model and day; a dash where nothing was sent."""
    text = client.get("/usage").text

    assert "4,800" in text  # 120 answers of 40 tokens
    assert "1,600" in text
    assert "117 ms" in text  # the bucket of 120


def test_settings_show_reasons_and_no_secret(client_of: Any) -> None:
    """Every knob with its value and why; the search is in the address."""
    text = client_of().get("/settings?q=margin").text

    assert "gate.margin" in text
    assert "gate.alpha" not in text or "margin" in text


def test_pages_of_an_empty_lake_say_what_to_do(client_of: Any) -> None:
    """Nothing came yet: each page says what makes something come."""
    client = client_of()
    for path in (
        "/",
        "/failures",
        "/conversations",
        "/datasets",
        "/evaluations",
        "/ledger",
        "/usage",
        "/alerts",
        "/settings",
    ):
        answer = client.get(path)
        assert answer.status_code == 200
    assert "Nothing has come yet" in client.get("/").text
    assert "flywheel turn" in client.get("/failures").text


def test_the_room_writes_nothing_by_itself() -> None:
    """Every write is an event, or goes through a function behind a command: nothing here appends to the lake."""
    calls = [
        f"{path.name}: {found}"
        for path in UI.rglob("*.py")
        for found in re.findall(
            r"\b(?:append|publish|publish_next|delete_rows|rewrite)\(lake|import (?:append|publish)\b", path.read_text()
        )
    ]

    assert calls == []
