"""One meaning for all stages: which feedback stands, and what an erasure forgets."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.cluster.forget import forget_wished
from flows.cluster.stage import cluster
from flows.curate.stage import curate
from flows.maintain.stage import maintain
from flows.testing.events import START, event_id, feedback, happened, interaction
from flows.versions import versions
from schemas.errors import NotEnoughData
from schemas.events import Erasure, Event, Feedback
from schemas.secrets import Secret
from schemas.settings import ArchiveSettings, CurateSettings, Settings
from streams.lake import Lake
from streams.lake.query import query, stored_rows
from streams.triage.rates import Seen, observe

AS_OF = START + timedelta(days=1)


def house(home: Path, *events: Event, **archive: Any) -> tuple[Lake, Settings]:
    """A lake with events, and settings without the paraphrase check."""
    settings = Settings(
        home=str(home),
        curate=CurateSettings(paraphrase=1, eval_share=0, salt=Secret("a test's")),
        archive=ArchiveSettings(**archive),
    )
    lake = Lake(settings.lake_root)
    happened(lake, *events)
    return lake, settings


def outcomes_of(lake: Lake, settings: Settings) -> dict[str, tuple[str, ...]]:
    """Interaction → outcome and reasons, the newest of each."""
    sql = "SELECT * FROM outcomes WHERE application = $application"
    found = query(lake, sql, lake.versions(["outcomes"]), {"application": settings.application}).to_pylist()
    return {row["interaction_id"]: (row["outcome"], *row["reasons"]) for row in found}


def taught_by(summary: dict[str, Any]) -> dict[str, str]:
    """Interaction → the last message of its row in the training set."""
    files = Path(summary["training"]["path"]).glob("data/sft-*.parquet")
    found = [row for file in files for row in pq.read_table(file).to_pylist()]
    return {row["interaction_id"]: row["messages"][-1]["content"] for row in found}


CORRECTED = interaction(1, user_id="alice")
CORRECTION = feedback(1, CORRECTED, "correction", text="the parcel left on Monday")
STRANGERS = [
    feedback(2, CORRECTED, retracts=CORRECTION.id, user_id="mallory"),
    feedback(3, CORRECTED, "copy", supersedes=CORRECTION.id, user_id="mallory", application="other"),
    feedback(4, CORRECTED, retracts=CORRECTION.id, user_id=None),
]


def test_a_strangers_retraction_changes_neither_outcomes_nor_datasets(tmp_path: Path) -> None:
    """Whoever can send feedback cannot unteach: the same outcome, and the same dataset to the byte."""
    answers = []
    for name, more in (("alone", list[Feedback]()), ("beside", STRANGERS)):
        lake, settings = house(tmp_path / name, CORRECTED, CORRECTION, *more)
        cluster(lake, settings, AS_OF)
        built = curate(lake, settings, AS_OF)
        answers.append((outcomes_of(lake, settings), taught_by(built), built["training"]["sha256"]))

    assert answers[0] == answers[1]
    assert answers[0][:2] == (
        {CORRECTED.id: ("failed", "correction")}, {CORRECTED.id: "the parcel left on Monday"},
    )  # fmt: skip


def test_a_strangers_retraction_changes_nothing_in_triage() -> None:
    """Live too: the interaction fails by the correction, whatever others send; its own person takes it back."""
    seen = Seen(0)
    for event in (CORRECTED, CORRECTION, *STRANGERS):
        seen, _ = observe(seen, event)
    assert seen.outcome() == "failed"

    seen, _ = observe(seen, feedback(5, CORRECTED, retracts=CORRECTION.id))

    assert seen.outcome() == "unknown"


@pytest.mark.parametrize("policy", ["accept", "refuse"])
@pytest.mark.parametrize("removed", [False, True], ids=["still-stored", "removed"])
def test_an_interaction_after_an_erasure_is_clustered_and_curated_alike(
    tmp_path: Path, policy: str, removed: bool
) -> None:
    """A new start is judged and taught, a refused one neither; also once the nightly removal has been, and again."""
    old, new = (interaction(n, user_id="ann", conversation_id="c") for n in (1, 100))
    said = [feedback(n, event, value=1) for n, event in ((1, old), (2, new))]
    wish = Erasure(id=event_id(9_000_000), time=START + timedelta(seconds=50), subject="ann")
    other = interaction(3, user_id="bob")
    lake, settings = house(
        tmp_path, old, new, other, *said, feedback(3, other, value=1), wish, after_erasure=policy
    )  # fmt: skip
    if removed:
        maintain(lake, settings, AS_OF)

    cluster(lake, settings, AS_OF)
    first = curate(lake, settings, AS_OF)
    happened(lake, interaction(200, user_id="bob"))
    again = curate(lake, settings, AS_OF + timedelta(hours=1))

    kept = {other.id, new.id} if policy == "accept" else {other.id}
    assert set(outcomes_of(lake, settings)) == kept
    assert set(taught_by(first)) == kept
    assert again["withdrawn"] == []
    assert again["training"]["version"] == first["training"]["version"]


def test_a_version_from_before_the_wish_goes_and_the_new_start_stays(tmp_path: Path) -> None:
    """The next build withdraws what holds the person's old rows, and only that."""
    old, new, other = interaction(1, user_id="ann"), interaction(100, user_id="ann"), interaction(3, user_id="bob")
    said = [feedback(n, event, value=1) for n, event in ((1, old), (2, other))]
    lake, settings = house(tmp_path, old, other, *said)
    cluster(lake, settings, AS_OF)
    first = curate(lake, settings, AS_OF)
    wish = Erasure(id=event_id(9_000_000), time=START + timedelta(seconds=50), subject="ann")
    happened(lake, wish, new, feedback(9, new, value=1))
    cluster(lake, settings, AS_OF + timedelta(hours=1))

    second = curate(lake, settings, AS_OF + timedelta(hours=1))
    happened(lake, interaction(300))
    third = curate(lake, settings, AS_OF + timedelta(hours=2))

    assert second["withdrawn"] == [f"all@{first['training']['version']}"]
    assert set(taught_by(second)) == {other.id, new.id}
    assert third["withdrawn"] == []


def test_a_wish_that_arrives_as_an_event_leaves_no_word_in_derived_tables(tmp_path: Path) -> None:
    """The next run forgets what earlier ones concluded, whether or not the raw rows went first, and once."""
    old, other = interaction(1, user_id="ann"), interaction(3, user_id="bob")
    lake, settings = house(tmp_path, old, other, *[feedback(n, e, value=0) for n, e in ((1, old), (2, other))])
    cluster(lake, settings, AS_OF)
    assert {row["interaction_id"] for row in stored_rows(lake, "outcomes")} == {old.id, other.id}
    happened(lake, Erasure(id=event_id(9_000_000), time=START + timedelta(seconds=50), subject="ann"))
    maintain(lake, settings, AS_OF)

    cluster(lake, settings, AS_OF + timedelta(hours=1))
    after = lake.version("outcomes")

    assert {row["interaction_id"] for row in stored_rows(lake, "outcomes")} == {other.id}
    assert "question 1" not in str(stored_rows(lake, "outcomes"))
    assert len(stored_rows(lake, "embeddings")) == 1
    assert forget_wished(lake, settings) == {}
    assert lake.version("outcomes") == after


def test_the_last_person_can_leave(tmp_path: Path) -> None:
    """Where nothing is left to build, versions with their rows are withdrawn all the same."""
    only = interaction(1, user_id="ann")
    lake, settings = house(tmp_path, only, feedback(1, only, value=1))
    cluster(lake, settings, AS_OF)
    first = curate(lake, settings, AS_OF)
    happened(lake, Erasure(id=event_id(9_000_000), time=START + timedelta(seconds=50), subject="ann"))

    with pytest.raises(NotEnoughData):
        curate(lake, settings, AS_OF + timedelta(hours=1))

    assert {v.status for v in versions(lake) if any(v.rows.values())} == {"withdrawn"}
    assert not Path(first["training"]["path"]).exists()
