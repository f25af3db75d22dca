"""Ten worlds in which one person's name and words are everywhere, in every spelling; after an erasure, nowhere.

`tests/integration/test_erase_world.py` is one more, with all processes of `flywheel up` at work.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.cluster.catalogue.report import write
from flows.cluster.stage import cluster
from flows.curate.quarantine import clear, waiting
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.erase import carry_out
from flows.evalset import answers_folder
from flows.run import latest
from flows.testing.events import START, happened
from flows.turn import turn
from schemas.secrets import Secret
from schemas.settings import ClusterSettings, CurateSettings, Settings
from schemas.topics import INTERACTIONS
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import stored_rows
from tests.support import planted as support
from tests.support.archived import arrive
from tests.support.planted import OTHERS, Person

AS_OF, LATER = START + timedelta(days=2), START + timedelta(days=3)


class Planted(Person):
    """A home with a person in all of its places."""

    def __init__(self, home: Path, seed: int) -> None:
        super().__init__(seed)
        self.settings = Settings(
            home=str(home),
            cluster=ClusterSettings(min_size=4, least_people=1),
            curate=CurateSettings(
                paraphrase=1, eval_share=(0.0, 0.5, 1.0)[seed % 3], hold_back=0.2, salt=Secret(f"{seed}")
            ),
        )
        self.lake = Lake(self.settings.lake_root)
        happened(self.lake, *self.events())
        arrive(self.lake, INTERACTIONS, self.broken())
        self._runs()
        self._kept_answers()

    def _runs(self) -> None:
        lake, settings = self.lake, self.settings
        cluster(lake, settings, AS_OF)
        curate(lake, settings, AS_OF)
        clear(lake, settings.application, [one.id for one in waiting(lake, settings.application)][:2], "ann", AS_OF)
        self.built = turn(lake, settings, LATER)["curate"]
        if self.built["eval"]["eval_rows"]:
            freeze(lake, settings, LATER, "holdout", "all")
        run = latest(lake, "cluster", settings.application)
        assert run is not None
        write(lake, run, settings.home_path / "reports", ClusterSettings(least_people=1))

    def _kept_answers(self) -> None:
        for part in ("eval", "sample"):
            for path in Path(self.built[part]["path"]).glob("data/*.parquet"):
                rows = [row for row in pq.read_table(path).to_pylist() if self.words[0] in str(row["messages"])]
                for name in ("e-1", "reviews-000000-x") if rows else ():
                    scores = [
                        {"evaluation_id": name, "item_id": row["item_id"], "role": "candidate", "sample": 0,
                         "scorer": "s", "score": 1.0, "output": f"{self.words[1]} answer"}
                        for row in rows
                    ]  # fmt: skip
                    publish(self.lake, "scores", to_rows("scores", scores), f"{name}-{part}")
                if rows:
                    folder = answers_folder(self.settings.home_path, self.built[part]["version"])
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / "bot.jsonl").write_text(json.dumps({"answer": self.words[1]}))


def found(planted: Planted) -> dict[str, set[bytes]]:
    """What of the person stands in the home."""
    return support.found(planted, planted.settings.home_path)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_of_a_person_is_left(tmp_path: Path, seed: int) -> None:
    """Tables, logs of tables, dead letters, names, datasets, quarantine, frozen sets, reports, answers, receipts."""
    planted = Planted(tmp_path, seed)
    before = found(planted)
    assert {word for hits in before.values() for word in hits} >= {word.encode() for word in planted.words}
    assert {path.partition("/")[0] for path in before} >= {"lake", "datasets", "reports"}
    tables = {path.split("/")[1] for path in before if path.startswith("lake/")}
    assert tables >= {"interactions", "feedback", "outcomes", "clusters", "dead_letters"}

    receipt = carry_out(planted.lake, planted.settings, planted.spelled(seed), LATER + timedelta(hours=1))

    assert found(planted) == {}
    assert receipt["remaining"] == []
    ids = {event.id for event in planted.corrections}
    assert not ids & {row["feedback_id"] for row in stored_rows(planted.lake, "quarantine")}
    assert not ids & {row["id"] for row in stored_rows(planted.lake, "cleared")}
    assert len(stored_rows(planted.lake, "interactions")) == OTHERS


def test_a_rebuilt_dataset_is_of_the_others(tmp_path: Path) -> None:
    """After the erasure the next cluster run and build hold everybody else, and nothing of the person."""
    planted = Planted(tmp_path, 1)
    carry_out(planted.lake, planted.settings, planted.name, LATER + timedelta(hours=1))
    again = LATER + timedelta(days=1)

    cluster(planted.lake, planted.settings, again)
    built = curate(planted.lake, planted.settings, again)

    assert built["training"]["sft_rows"] + built["eval"]["eval_rows"] + built["sample"]["sample_rows"] > 0
    assert found(planted) == {}
