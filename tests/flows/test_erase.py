"""An erasure is a list: each stage forgets in its turn, and what a kill in between leaves is found again."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from flows import erase, prefect_books
from flows.cluster.stage import cluster
from flows.curate.stage import curate
from flows.curate.versions.lost import lose
from flows.evalset import answers_folder
from flows.maintain.stage import maintain
from flows.prefect_books import DATABASE
from flows.testing.events import START, feedback, happened, interaction
from flows.trained import State, place_of
from flows.versions import versions
from schemas.errors import FlywheelError
from schemas.records import content_hash
from schemas.settings import CurateSettings, Settings
from schemas.topics import INTERACTIONS
from streams.keyring import mark_of
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import rows, stored_rows
from tests.support.archived import arrive

AS_OF, LATER = START + timedelta(days=1), START + timedelta(days=2)
PERSON = "person-003"


def question(n: int) -> str:
    """Unlike all others."""
    return f"refund {hashlib.sha256(str(n).encode()).hexdigest()} order {n * 7919}"


def answer(n: int) -> str:
    return f"better answer {hashlib.sha256(str(-n - 1).encode()).hexdigest()}"


@pytest.fixture
def house(tmp_path: Path) -> tuple[Lake, Settings]:
    """Twelve people, clustered, curated (all of them eval), with scores and answers to every item, and a report."""
    settings = Settings(home=str(tmp_path), curate=CurateSettings(paraphrase=1, eval_share=1))
    lake = Lake(settings.lake_root)
    asked = [
        interaction(n, user_id=f"person-{n:03d}", input_messages=[{"role": "user", "content": question(n)}])
        for n in range(12)
    ]
    happened(lake, *asked, *[feedback(n, e, "correction", text=answer(n)) for n, e in enumerate(asked)])
    cluster(lake, settings, AS_OF)
    built = curate(lake, settings, AS_OF)
    for path in Path(built["eval"]["path"]).glob("data/*.parquet"):
        items = [
            {"evaluation_id": "e", "item_id": row["item_id"], "role": "candidate", "sample": 0, "scorer": "s",
             "score": 1.0, "output": row["reference"]}
            for row in pq.read_table(path).to_pylist()
        ]  # fmt: skip
        publish(lake, "scores", to_rows("scores", items), "e")
    for folder in (answers_folder(tmp_path, built["eval"]["version"]), tmp_path / "reports"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text("\n".join(question(n) + answer(n) for n in range(12)))
    return lake, settings


def everything(home: Path) -> str:
    """Bytes of all files, and the unpacked rows of every Parquet file."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    tables = [str(pq.read_table(path, partitioning=None).to_pylist()) for path in files if path.suffix == ".parquet"]
    return b"\n".join(path.read_bytes() for path in files).decode("latin-1") + "\n".join(tables)


def left(lake: Lake, settings: Settings) -> set[str]:
    """What still says a word of the person."""
    said = everything(settings.home_path)
    return {word for word in (PERSON, question(3), answer(3)) if word in said}


def test_each_stage_forgets_its_own(house: tuple[Lake, Settings]) -> None:
    """The receipt counts what went from where; everybody else's rows stay."""
    lake, settings = house
    assert left(lake, settings) == {PERSON, question(3), answer(3)}

    receipt = erase.carry_out(lake, settings, PERSON, LATER)

    assert receipt["rows"] == {
        "scores": 1, "outcomes": 1, "embeddings": 1, "cluster_members": 1, "clusters": 0, "cluster_decisions": 0,
        "pinned_members": 0, "interactions": 1, "feedback": 1, "dead_letters": 0,
    }  # fmt: skip
    assert left(lake, settings) == set()
    assert len(stored_rows(lake, "scores")) == len(stored_rows(lake, "outcomes")) == 11
    assert len(rows(lake, "interactions")) == len(rows(lake, "feedback")) == 11
    assert list((settings.home_path / "receipts").iterdir()) == [Path(receipt["receipt"])]


@pytest.mark.parametrize("stage", ["evaluate", "curate", "cluster", "raw"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_kill_between_two_stages_leaves_nothing_behind(
    house: tuple[Lake, Settings], monkeypatch: pytest.MonkeyPatch, stage: str, done: bool
) -> None:
    """Begun again, the erasure finds all that the first start left."""
    lake, settings = house
    module = getattr(erase, stage)
    forget = module.forget

    def killed(*arguments: Any, **more: Any) -> Any:
        if done:
            forget(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "forget", killed)
        with pytest.raises(KeyboardInterrupt):
            erase.carry_out(lake, settings, PERSON, LATER)

    erase.carry_out(lake, settings, PERSON, LATER + timedelta(hours=1))

    assert left(lake, settings) == set()
    assert len(stored_rows(lake, "scores")) == len(stored_rows(lake, "outcomes")) == 11


def test_answers_in_another_home_go_with_its_maintenance(house: tuple[Lake, Settings], tmp_path: Path) -> None:
    """Of what was withdrawn, and of nothing else: what was lost may be made again, and its answers serve then."""
    lake, settings = house
    other = replace(settings, home=str(tmp_path / "other"), lake=str(lake.root))
    withdrawn = erase.plan(lake, settings, PERSON).versions[0]
    theirs, others = (answers_folder(other.home_path, version) for version in (withdrawn, "another"))
    for folder in (theirs, others):
        folder.mkdir(parents=True)
    maintain(lake, other, AS_OF)
    assert [theirs.exists(), others.exists()] == [True, True]

    erase.carry_out(lake, settings, PERSON, LATER)
    maintain(lake, other, LATER)

    assert [theirs.exists(), others.exists()] == [False, True]


def test_answers_to_what_was_lost_stay(house: tuple[Lake, Settings]) -> None:
    """The same rows, made again, are that version again."""
    lake, settings = house
    (version,) = [one for one in versions(lake) if one.kind == "eval"]
    shutil.rmtree(version.folder(settings))
    lose(lake, settings, LATER, version.version)

    maintain(lake, settings, LATER)

    assert answers_folder(settings.home_path, version.version).exists()


def test_checkpoints_on_their_rows_go(house: tuple[Lake, Settings]) -> None:
    """By the erasure itself, and by the next maintenance where the dataset was withdrawn otherwise; others' stay."""
    lake, settings = house
    theirs, others = place_of(settings.home_path, "a"), place_of(settings.home_path, "b")
    for one, dataset in ((theirs, erase.plan(lake, settings, PERSON).versions[0]), (others, "another")):
        one.checkpoints.mkdir(parents=True)
        one.note(State(model="m", port=1, dataset=dataset))

    erase.carry_out(lake, settings, PERSON, LATER)
    assert [one.checkpoints.exists() for one in (theirs, others)] == [False, True]
    theirs.checkpoints.mkdir()
    maintain(lake, settings, LATER)

    assert [one.checkpoints.exists() for one in (theirs, others)] == [False, True]


def test_what_unfinished_runs_hold_is_forgotten_too(house: tuple[Lake, Settings]) -> None:
    """A clustering that was killed before its last row is seen by nobody, and its words go all the same."""
    lake, settings = house
    row = stored_rows(lake, "outcomes", text=question(3))[0] | {"run_id": "killed"}
    publish(lake, "outcomes", to_rows("outcomes", [row]), "killed")

    receipt = erase.carry_out(lake, settings, PERSON, LATER)

    assert receipt["rows"]["outcomes"] == 2
    assert left(lake, settings) == set()


def test_forgetting_nobody_changes_nothing(house: tuple[Lake, Settings]) -> None:
    """A name that no event carries: a receipt of zeros, and every table as it was."""
    lake, settings = house
    names = ("interactions", "feedback", "outcomes", "cluster_members", "embeddings", "scores", "clusters")
    before = lake.versions(names)

    receipt = erase.carry_out(lake, settings, "nobody", LATER)

    assert set(receipt["rows"].values()) == {0}
    assert lake.versions(names) == before


def test_nobody_can_try_names_on_what_is_left(house: tuple[Lake, Settings]) -> None:
    """A receipt, a run's row and a note know who was forgotten by a keyed hash: no list gives it back."""
    lake, settings = house
    arrive(lake, INTERACTIONS, [b'{"user_id": "person-003"'])

    receipt = erase.carry_out(lake, settings, f" {PERSON}\n", LATER)

    assert receipt["subject_hmac"] == mark_of(settings.home_path, PERSON) in everything(settings.home_path)
    guesses = {hashlib.sha256(PERSON.encode()).hexdigest(), content_hash(PERSON), content_hash([PERSON])}
    guesses |= {content_hash([None, {"subject": each}]) for each in [*guesses, PERSON]}
    assert [guess for guess in guesses if guess in everything(settings.home_path)] == []
    other = Settings(home=f"{settings.home}-2")
    assert mark_of(other.home_path, PERSON) != receipt["subject_hmac"]


@pytest.mark.parametrize("said", ["person-003 failed", '{"who": "person\\u002d003"}'], ids=["plain", "escaped"])
def test_a_log_and_a_database_of_prefects_lose_the_name(house: tuple[Lake, Settings], said: str) -> None:
    """Rows that tell of them go, a run that was started with their name too; runs at work, and others, stay."""
    lake, settings = house
    home = settings.home_path
    others = [home / "run/served/m/server.log", home / "training/k/trainer.log", home / "training/k/trainer.log.1"]
    for folder in ("run/served/m", "training/k", "prefect/storage"):
        (home / folder).mkdir(parents=True)
    for log in others:
        log.write_text(f"loss .3\n{said}\n")
    (home / "prefect" / "storage" / "error").write_text(said)
    (home / "run" / "flows.log").write_text(f"one\n{said}\nthree person-0031\n")
    with closing(sqlite3.connect(home / DATABASE)) as books:
        books.execute("PRAGMA journal_mode = WAL")
        books.execute("CREATE TABLE log (id CHAR(36), message TEXT)")
        books.execute("CREATE TABLE flow_run (id CHAR(36), state_type VARCHAR(9), parameters JSON)")
        books.execute("CREATE TABLE flow_run_state (id CHAR(36), message VARCHAR, data JSON)")
        books.executemany("INSERT INTO log VALUES ('1', ?)", [(said,), ("of person-0031",), ("person-003 x " * 999,)])
        books.execute("DELETE FROM log WHERE length(message) > 9999")
        named = [("COMPLETED", '{"application": "person-003"}'), ("RUNNING", '{"application": "person-003"}'),
                 ("COMPLETED", '{"application": "x person-003"}')]  # fmt: skip
        books.executemany("INSERT INTO flow_run VALUES ('1', ?, ?)", named)
        books.execute("INSERT INTO flow_run_state VALUES ('1', ?, NULL)", (said,))
        books.commit()

    receipt = erase.carry_out(lake, settings, PERSON, LATER)

    assert (home / "run" / "flows.log").read_text() == f"one\n{'*' * len(said)}\nthree person-0031\n"
    assert {log.read_text() for log in others} == {f"loss .3\n{'*' * len(said)}\n"}
    with closing(sqlite3.connect(home / DATABASE)) as books:
        assert books.execute("SELECT message FROM log").fetchall() == [("of person-0031",)]
        assert books.execute("SELECT state_type FROM flow_run").fetchall() == [("RUNNING",), ("COMPLETED",)]
        assert books.execute("SELECT message FROM flow_run_state").fetchall() == [(None,)]
    assert list((home / "prefect" / "storage").iterdir()) == []
    assert receipt["copies"] == 5 + len(others)
    assert receipt["remaining"] == ["prefect/prefect.db", "run/flows.log"], "a run at work, and a longer name"


def test_a_database_that_stays_locked_is_said(house: tuple[Lake, Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is erased yet: the command is given again."""
    lake, settings = house
    monkeypatch.setattr(prefect_books, "BUSY_S", 0.1)
    (settings.home_path / "prefect").mkdir()
    with closing(sqlite3.connect(settings.home_path / DATABASE)) as books:
        books.execute("CREATE TABLE log (id CHAR(36), message TEXT)")
        books.execute("BEGIN EXCLUSIVE")

        with pytest.raises(FlywheelError, match="try again"):
            erase.carry_out(lake, settings, PERSON, LATER)

    assert len(stored_rows(lake, "interactions")) == 12
    assert erase.carry_out(lake, settings, PERSON, LATER)["interactions"] == 1
