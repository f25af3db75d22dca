"""Acts on clusters by the form of their page: a reviewer's, recorded once, in nobody else's name, and inert."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flows.cluster.lineage.acts import decisions_of
from flows.cluster.stage import cluster
from streams.lake import Lake
from tests.support.clusters import World
from tests.support.pages import needs_chromium, served
from tests.support.reviewers import Form, People, for_people

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(1)> \u202e"


@pytest.fixture
def people(world: World, tmp_path: Path) -> People:
    """Reviewers over a copy of the world."""
    home = tmp_path / "home"
    shutil.copytree(world.settings.home, home)
    settings = for_people(replace(world.settings, home=str(home)), home)
    return People(Lake(settings.lake_root), settings)


def acted(people: People) -> list[tuple[str, str, str | None]]:
    return [(one.event, one.decided_by, one.reason) for one in decisions_of(people.state.lake, "support-bot")]


def test_a_reviewer_acts_by_a_form_and_the_page_says_so(people: People) -> None:
    """Without JavaScript: rename, ignore; twice is once; the page lists who and why, and hostile words are inert."""
    ana = people.client("ana")
    found = people.state.clusters
    assert found is not None
    address = f"/failures/{found.living[0].cluster_id}"
    form = Form(ana.get(address).text).forms["Act on this cluster"]
    assert not acted(people)  # reading writes nothing

    for _ in range(2):
        answer = ana.post(f"{address}/acts", data={**form, "act": "rename", "what": HOSTILE, "reason": HOSTILE})
    ana.post(f"{address}/acts", data={**form, "act": "ignore", "reason": "the bank's fault", "decided_by": "eve"})
    text = ana.get(address).text

    assert (answer.status_code, answer.headers["location"]) == (303, f"{address}#by-hand")
    assert [(event, by) for event, by, _ in acted(people)] == [("renamed", "ana"), ("ignored", "ana")]
    assert "the bank&#39;s fault" in text
    assert "<script>alert" not in text
    assert not re.search(r"<img[^>]*onerror", text)
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("who", "given", "status"),
    [
        ("rea", {"act": "rename", "what": "x"}, 403),
        ("ana", {"act": "close", "what": "x"}, 422),
        ("ana", {"act": "ignore", "reason": ""}, 422),
        ("ana", {"act": "merge", "what": "nothing"}, 422),
        ("ana", {"act": "rename", "what": "x", "csrf": "wrong"}, 403),
    ],
)
def test_what_is_refused_writes_nothing(people: People, who: str, given: dict[str, Any], status: int) -> None:
    """A reader, an act that there is not, a closing without a reason, a foreign token; nor does any GET."""
    found = people.state.clusters
    assert found is not None
    address = f"/failures/{found.living[0].cluster_id}/acts"
    client = people.client(who)
    answer = client.post(address, data={"csrf": people.app.token_of(who), **given})

    assert answer.status_code == status
    assert client.get(address, params={"act": "rename", "what": "x"}).status_code in {404, 405}
    assert not acted(people)
    assert who != "rea" or "Act on this cluster" not in client.get("/failures").text


def test_a_pinned_cluster_stands_beside_the_found_ones(people: People) -> None:
    """Pinned by a form, it is in the inbox after the next run, with its failures' texts; what sums up leaves it out."""
    ana = people.client("ana")
    found = people.state.clusters
    assert found is not None
    address = f"/failures/{found.living[0].cluster_id}"
    form = Form(ana.get(address).text).forms["Act on this cluster"]
    word = next(word for word in (found.living[0].medoid_text or "").split() if word.isalpha() and len(word) > 3)

    answer = ana.post(f"{address}/acts", data={**form, "act": "pin", "what": word, "reason": HOSTILE})
    waiting = ana.get(address).text
    cluster(people.state.lake, people.state.settings, found.run.as_of + timedelta(hours=1))
    people.state.refresh()
    after = people.state.clusters
    assert after is not None
    (one,) = [each for each in after.watched if each.pinned]
    listed, shown = ana.get("/failures").text, ana.get(f"/failures/{one.cluster_id}").text
    for act in ("merge", "split", "assign"):
        sent = {**form, "act": act, "what": found.living[0].cluster_id, "reason": "x"}
        assert ana.post(f"/failures/{one.cluster_id}/acts", data=sent).status_code == 422

    assert answer.headers["location"] == f"{address}#by-hand"
    assert f"pinned as “{word}”" in waiting
    assert one.size_total > 0
    assert ">Pinned<" in listed
    assert f"/failures/{one.cluster_id}" in listed
    assert "pinned by a person" in shown
    assert f"q={word}" in shown
    assert "<script>alert" not in shown
    assert "By hand" in shown
    assert '<option value="unpin">' in shown
    assert '<option value="merge">' not in shown
    assert {each.cluster_id for each in after.living} == {each.cluster_id for each in found.living}
    assert f"/failures/{one.cluster_id}" not in ana.get("/failures?model=old&view=all").text.split('id="detail"')[0]


@needs_chromium
@pytest.mark.integration
def test_a_reviewer_acts_by_keyboard_alone(browser: Any, world: World, tmp_path: Path) -> None:
    """In a real Chromium without JavaScript: from the list to the form, an act recorded, and read on the page."""
    home = tmp_path / "home"
    shutil.copytree(world.settings.home, home)
    settings = replace(world.settings, home=str(home))
    with served(Lake(settings.lake_root), settings) as (address, _):
        page = browser.new_context(java_script_enabled=False).new_page()
        page.set_default_timeout(20_000)
        page.goto(f"{address}/failures")
        page.get_by_label("What to do").select_option("ignore")
        page.get_by_label("Reason").focus()
        page.keyboard.type("the bank's fault")
        page.keyboard.press("Enter")
        page.wait_for_url("**/failures/*")
        said = page.locator("#by-hand").inner_text()

    (act,) = decisions_of(Lake(settings.lake_root), "support-bot")
    assert (act.event, act.reason) == ("ignored", "the bank's fault")
    assert "the bank's fault" in said
