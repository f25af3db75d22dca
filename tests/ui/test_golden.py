"""Golden examples by the forms of their pages: a reviewer's, recorded once, in nobody else's name, and inert."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flows.curate.golden import acts, living, written
from flows.curate.stage import curate
from flows.testing.events import START
from streams.lake import Lake
from tests.support.clusters import World
from tests.support.reviewers import Form, People, for_people

HOSTILE = '</textarea><script>alert(1)</script> "><img src=x onerror=alert(1)> \u202e {{7*7}}'
TYPED = {"asked": f"why {HOSTILE}", "reference": HOSTILE, "rubric": HOSTILE, "slice": HOSTILE[:60], "reason": HOSTILE}
AS_OF = START + timedelta(days=4)


@pytest.fixture
def people(world: World, tmp_path: Path) -> People:
    """Reviewers over a copy of the world."""
    home = tmp_path / "home"
    shutil.copytree(world.settings.home, home)
    settings = for_people(replace(world.settings, home=str(home)), home)
    return People(Lake(settings.lake_root), settings)


def done(people: People) -> list[tuple[str, int, str]]:
    return [(one.event, one.version, one.decided_by) for one in acts(people.state.lake, "support-bot")]


def test_a_reviewer_adds_edits_and_retires_by_forms(people: People) -> None:
    """Without JavaScript: each twice is once, the next build has it, and hostile words are words on every page."""
    ana, ben = people.client("ana"), people.client("ben")
    assert 'href="/golden"' in ana.get("/datasets").text
    form = Form(ana.get("/golden").text).forms["Add an item"]
    assert not done(people)  # reading writes nothing

    for _ in range(2):
        answer = ana.post("/golden", data={**form, **TYPED, "decided_by": "eve"})
    address = answer.headers["location"]
    edit = Form(ben.get(address).text).forms["Edit this item"]
    for _ in range(2):
        ben.post(f"{address}/edit", data={**edit, **TYPED, "reference": "another answer"})
    summary = curate(people.state.lake, people.state.settings, AS_OF)
    pages = [ana.get(path).text for path in ("/golden", address)]
    retire = Form(ana.get(address).text).forms["Retire this item"]
    for _ in range(2):
        ana.post(f"{address}/retire", data={**retire, "reason": "told enough"})

    assert done(people) == [("added", 1, "ana"), ("edited", 2, "ben"), ("retired", 3, "ana")]
    assert summary["eval"]["eval_rows"] >= 1
    assert living(acts(people.state.lake, "support-bot")) == []
    for text in pages:
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "\u202e" not in text
        assert "{{7*7}}" in text
    assert "told enough" in ana.get(address).text
    assert "Edit this item" not in ana.get(address).text


def test_a_row_of_it_says_that_it_is_written_by_hand(people: People) -> None:
    """From the row of the eval set: its source is golden, and the act that made it is named."""
    form = {"csrf": people.app.token_of("ana"), "asked": "What is a wheel?", "reference": "Round."}
    item = people.client("ana").post("/golden", data=form).headers["location"].rpartition("/")[2]
    curate(people.state.lake, people.state.settings, AS_OF)
    people.state.refresh()
    version = next(one for one in reversed(people.state.datasets) if one.kind == "eval")
    address = f"/datasets/{version.dataset}/{version.version}/rows"

    listed = people.client("ana").get(address, params={"config": "eval"}).text
    rows = [part.partition('"')[0] for part in listed.split(f'href="{address}/')[1:]]
    texts = [people.client("ana").get(f"{address}/{row}").text for row in rows]
    (text,) = [text for text in texts if "written by hand" in text]

    assert f"golden:{item}@1" in text


@pytest.mark.parametrize(
    ("who", "path", "given", "status"),
    [
        ("rea", "", {}, 403),
        ("rea", "/edit", {"version": "1"}, 403),
        ("rea", "/retire", {"reason": "x"}, 403),
        ("ana", "", {"csrf": "wrong"}, 403),
        ("ana", "", {"asked": ""}, 422),
        ("ana", "", {"asked": "x" * 16_001}, 422),
        ("ana", "", {"interaction_id": HOSTILE}, 422),
        ("ana", "/edit", {}, 422),
        ("ana", "/edit", {"version": "9" * 5_000}, 422),
        ("ana", "/edit", {"version": "7", "asked": "otherwise"}, 422),
        ("ana", "/retire", {"reason": " "}, 422),
    ],
)
def test_what_is_refused_writes_nothing(
    people: People, who: str, path: str, given: dict[str, Any], status: int
) -> None:
    """A reader, a foreign token, nothing to ask, too much, a stale page, no reason; nor does any GET."""
    item = {"asked": "What is a wheel?", "reference": "Round."}
    ana = people.client("ana")
    address = ana.post("/golden", data={"csrf": people.app.token_of("ana"), **item}).headers["location"]
    before, client = done(people), people.client(who)
    where = address + path if path else "/golden"

    answer = client.post(where, data={"csrf": people.app.token_of(who), **item, **given})
    got = client.get(where, params={**item, **{name: value[:9] for name, value in given.items()}})

    assert (answer.status_code, got.status_code) == (status, 405 if path else 200)
    assert done(people) == before
    assert "Add an item" not in people.client("rea").get("/golden").text
    assert "Retire this item" not in people.client("rea").get(address).text
    assert people.client("rea").get("/golden/nothing").status_code == 404


def test_saving_what_is_in_the_form_changes_nothing(people: People) -> None:
    """A browser's line breaks are ours: the text in the fields is the text that is kept."""
    csrf = {"csrf": people.app.token_of("ana")}
    ana = people.client("ana")
    address = ana.post("/golden", data={**csrf, **TYPED, "asked": "a\r\n\r\nb", "slice": ""}).headers["location"]
    (one,) = acts(people.state.lake, "support-bot")
    said = written(one)
    fields = {"asked": said.asked, "reference": said.reference, "rubric": said.rubric, "slice": said.slice}

    ana.post(
        f"{address}/edit", data={**csrf, "version": "1", **{k: v.replace("\n", "\r\n") for k, v in fields.items()}}
    )

    assert said.asked == "a\n\nb"
    assert len(done(people)) == 1
