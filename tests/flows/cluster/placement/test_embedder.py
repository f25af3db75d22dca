"""Another embedder: looked at without changing anything, prepared in batches, and used without losing an id."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.placement import reembed as by_batch
from flows.cluster.placement.reembed import reembed
from flows.cluster.placement.trial import tried
from flows.embed import Vectors, load, on_grid
from flows.extend import embedder
from flows.redact.own import redactor_of
from schemas.errors import ExtensionError, NotEnoughData
from streams.lake.query import read

ASKED: list[str] = []
"""What the embedder below was given."""
FAIL_AFTER: list[int] = []
"""Texts after which it fails, where there is such a number."""


@embedder
class Letters:
    """Counts of pairs of letters, in 200 places; writes down what it is asked."""

    id = "letters"

    def embed(self, texts: list[str]) -> Vectors:
        """One row a text."""
        rows = np.zeros((len(texts), 200))
        for i, text in enumerate(texts):
            if FAIL_AFTER and len(ASKED) >= FAIL_AFTER[0]:
                raise RuntimeError
            ASKED.append(text)
            for a, b in itertools.pairwise(text):
                rows[i, (ord(a) * 31 + ord(b)) % 200] += 1
        return on_grid(rows)


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    """A new count for each test."""
    ASKED.clear()
    FAIL_AFTER.clear()


@pytest.fixture
def lived(world: Any) -> Any:
    """Two kinds of failures, found by the default embedder."""
    world.rows = {topic: world.failures(first, topic, 80) for topic, first in (("card", 0), ("parcel", 1_000))}
    world.run()
    return world


NAME = f"{__name__}:Letters"


def changed(world: Any) -> None:
    cluster = msgspec.structs.replace(world.settings.cluster, embedder=NAME)
    world.settings = msgspec.structs.replace(world.settings, cluster=cluster)


def test_a_change_of_embedder_keeps_every_id_and_waits_for_nothing(lived: Any) -> None:
    """Members stay, what is new of an old kind goes to its old id, and the run embeds only what is new."""
    before = lived.homes()
    told: list[int] = []
    own = load(NAME)

    count = reembed(lived.lake, lived.settings.application, own, told.append)
    known = set(ASKED)
    again = reembed(lived.lake, lived.settings.application, own)
    ASKED.clear()
    changed(lived)
    new = {topic: lived.failures(first, topic, 200) for topic, first in (("card", 90_000), ("parcel", 91_000))}
    lived.run(days=2)

    after = lived.homes()
    assert (count, again, told) == (len(known), 0, [0])
    assert ASKED
    assert not known & set(ASKED)
    assert {id_: after[id_] for id_ in before} == before
    for topic, rows in new.items():
        homes = {after[row.id] for row in rows if row.id in after}
        assert homes
        assert homes <= {before[row.id] for row in lived.rows[topic] if row.id in before}


def test_what_was_stopped_goes_on_where_it_was(lived: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of 40 were kept when the embedder broke in the third; the rest is made later, by hand or by a run."""
    monkeypatch.setattr(by_batch, "BATCH", 40)
    FAIL_AFTER.append(100)
    with pytest.raises(ExtensionError):
        reembed(lived.lake, lived.settings.application, load(NAME))
    FAIL_AFTER.clear()
    before, kept = set(ASKED[:80]), theirs(lived)
    ASKED.clear()

    changed(lived)
    lived.failures(90_000, "card", 1)
    lived.run(days=2)

    every = {row["text_hash"] for row in read(lived.lake, "cluster_members").to_pylist()}
    assert kept == 80
    assert not before & set(ASKED)
    assert theirs(lived) >= len(every) > 80
    assert reembed(lived.lake, lived.settings.application, load(NAME)) == 0


def theirs(world: Any) -> int:
    """Vectors that were kept of the embedder above."""
    return sum(row["embedder"].startswith(NAME) for row in read(world.lake, "embeddings").to_pylist())


def test_a_trial_shows_both_and_changes_nothing(lived: Any) -> None:
    """Numbers of clusters, agreement, steadiness and cost of each; an embedder against itself moves nothing."""
    names = ("outcomes", "cluster_members", "embeddings", "clusters", "cluster_events")
    versions = lived.lake.versions(names)
    redactor = redactor_of(lived.settings.curate)
    given = (lived.lake, lived.settings.application, lived.settings.cluster, load("wordllama"))

    same = tried(*given, load("wordllama"), redactor)
    other = tried(*given, load(NAME), redactor)

    assert (same.agreement, same.moved, same.examples) == (1.0, 0.0, ())
    assert other.texts == len(set(ASKED))
    assert other.after.embedder == f"{NAME}/letters"
    assert other.before.clusters == same.before.clusters >= 2
    assert all(-0.1 <= value <= 1 for side in (other.before, other.after) for value in (side.steady, side.as_placed))
    assert lived.lake.versions(names) == versions


def test_few_failures_are_no_trial(world: Any) -> None:
    """Fewer texts than can say anything are refused with what to do; before the first run nothing can be prepared."""
    with pytest.raises(NotEnoughData, match="flywheel turn"):
        reembed(world.lake, world.settings.application, load("wordllama"))
    world.failures(0, "card", 10)
    world.run()
    with pytest.raises(NotEnoughData, match="30 are needed"):
        tried(
            world.lake, world.settings.application, world.settings.cluster, load("wordllama"), load("wordllama"),
            redactor_of(world.settings.curate),
        )  # fmt: skip


def test_the_command_shows_prepares_and_says_what_to_do(lived: Any) -> None:
    """`flywheel clusters embedder NAME`, as a table, as JSON, and with `--prepare`."""

    def flywheel(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--home", lived.settings.home, "clusters", "embedder", NAME, *arguments])

    shown, plain = flywheel(), json.loads(flywheel("--json").stdout)
    prepared = json.loads(flywheel("--prepare", "--json").stdout)

    assert "Nothing was changed" in shown.stdout
    assert plain["texts"] == prepared["embedded"]
    assert "0 texts are embedded" in flywheel("--prepare").stdout
