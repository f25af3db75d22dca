"""`flywheel dataset`, `flywheel eval-set` and `flywheel erase`, as a person or a pipeline calls them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app, main
from flows.run import latest
from flows.testing.events import START, feedback, interaction
from flows.testing.world import World
from schemas.errors import NotEnoughData, UsageError
from schemas.tables import TABLES
from streams.lake.append import publish, to_rows

SETTINGS = """
[curate]
paraphrase = 1
hold_back = 0

[curate.recipes.refunds]
clusters = ["refunds"]
"""


@pytest.fixture
def shell(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with corrected answers, a settings file with a recipe, and no broker."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flywheel.toml").write_text(SETTINGS)
    events = [interaction(n, user_id=f"person-{n:03d}", input_messages=[{"role": "user", "content": f"{n * 7919}" * 9}])
              for n in range(30)]  # fmt: skip
    world.happened(*events, *[feedback(n, e, "correction", text=f"better {n}") for n, e in enumerate(events)])
    world.judged(
        {e.id: "failed" for e in events}, {e.id: "refunds" if n < 10 else "other" for n, e in enumerate(events)}
    )
    return world


def clusters(world: World, aliases: dict[str, str | None]) -> None:
    """Rows of `clusters` in the newest run: id → the one that it was merged into."""
    newest = latest(world.lake, "cluster", "support-bot")
    assert newest
    rows = [
        {**dict.fromkeys(TABLES["clusters"].schema.names), "run_id": newest.run_id, "application": "support-bot",
         "cluster_id": id_, "name": id_, "status": "steady", "alias_of": alias, "size": 1, "size_total": 1,
         "first_seen": START, "last_seen": START, "reasons": []}
        for id_, alias in aliases.items()
    ]  # fmt: skip
    publish(world.lake, "clusters", to_rows("clusters", rows), newest.run_id)


def run(world: World, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, ["--home", str(world.settings.home_path), *words])


def parsed(world: World, *words: str) -> object:
    done = run(world, *words, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_a_recipe_is_built_by_name(shell: World) -> None:
    """`flywheel dataset build refunds` takes that cluster only; an unknown name lists the known ones."""
    summary = parsed(shell, "dataset", "build", "refunds")
    assert isinstance(summary, dict)
    assert 0 < summary["training"]["sft_rows"] <= 10
    assert summary["dropped"]["not_in_recipe"] > 10

    wrong = run(shell, "dataset", "build", "refund")

    assert isinstance(wrong.exception, UsageError)
    assert "all, refunds" in str(wrong.exception)


@pytest.mark.parametrize(("wanted", "says"), [("nope", "no clusters"), ("c-1", "2 clusters"), ("", "no clusters")])
def test_a_recipe_for_a_cluster_that_there_is_not_is_refused(shell: World, wanted: str, says: str) -> None:
    """Instead of an empty dataset: which recipe, which id, and where the right ones stand."""
    clusters(shell, {"c-1f0a": None, "c-1f99": None})
    Path("flywheel.toml").write_text(f'[curate.recipes.narrow]\nclusters = ["refunds", "{wanted}"]\n')

    refused = run(shell, "dataset", "build", "narrow")

    assert isinstance(refused.exception, UsageError)
    assert f"recipe 'narrow' names the cluster {wanted!r}, and {says}" in str(refused.exception)
    assert "`flywheel cluster list`" in str(refused.exception)


def test_a_recipe_takes_the_beginning_of_an_id_and_follows_a_merge(shell: World) -> None:
    """As `cluster show` does; a cluster that became another one's name is that one."""
    clusters(shell, {"refunds": None, "c-1f0a": "refunds"})
    Path("flywheel.toml").write_text('[curate]\nparaphrase = 1\n[curate.recipes.narrow]\nclusters = ["c-1f"]\n')

    summary = parsed(shell, "dataset", "build", "narrow")

    assert isinstance(summary, dict)
    assert 0 < summary["training"]["sft_rows"] <= 10


def test_versions_are_listed_shown_traced_exported_and_pushed(shell: World, tmp_path: Path) -> None:
    """One walk through the commands, each answering in words and in JSON."""
    built = run(shell, "dataset", "build")
    assert "training:" in built.output
    (items, training, _) = parsed(shell, "dataset", "list")  # type: ignore[misc]
    assert (items["kind"], training["kind"], training["status"]) == ("eval", "training", "current")
    assert training["version"] in run(shell, "dataset", "list").output
    shown = parsed(shell, "dataset", "show", "all")
    assert "all files have their SHA-256" in run(shell, "dataset", "show", "all").output

    out = tmp_path / "train.jsonl"
    assert run(shell, "dataset", "export", "all", "--out", str(out)).exit_code == 0
    assert len(out.read_text().splitlines()) == shown["manifest"]["rows"]["sft/train"]  # type: ignore[index]
    assert run(shell, "dataset", "push", "all", f"file://{tmp_path}/copy").exit_code == 0
    assert (tmp_path / "copy" / training["version"] / "README.md").exists()
    assert json.loads(run(shell, "dataset", "lineage", "all").stdout)["eventType"] == "COMPLETE"
    assert isinstance(run(shell, "dataset", "trace", "nothing").exception, UsageError)


def test_freezing_and_listing(shell: World) -> None:
    """`flywheel eval-set freeze` needs a build first, then says how many items it froze."""
    assert isinstance(run(shell, "eval-set", "freeze", "holdout").exception, NotEnoughData)
    run(shell, "dataset", "build")

    assert "items frozen" in run(shell, "eval-set", "freeze", "holdout").output
    assert "holdout" in run(shell, "eval-set", "list").output
    assert [v["dataset"] for v in parsed(shell, "eval-set", "list")] == ["holdout"]  # type: ignore[index,attr-defined]


def test_erase_shows_first_and_then_does_it(shell: World) -> None:
    """`--dry-run` changes nothing; the receipt names datasets withdrawn and built again, and no person."""
    run(shell, "dataset", "build")
    would = parsed(shell, "erase", "person-003", "--dry-run")
    assert "would go" in run(shell, "erase", "person-003", "--dry-run").output
    assert would["interactions"] == 1  # type: ignore[index]

    did = run(shell, "erase", "person-003")

    assert "went" in did.output
    assert "built again" in did.output
    receipt = next((shell.settings.home_path / "receipts").iterdir()).read_text()
    assert "person-003" not in receipt
    assert json.loads(receipt)["rows"]["interactions"] == 1
    assert parsed(shell, "erase", "person-003", "--dry-run")["interactions"] == 0  # type: ignore[index]


def test_a_recipe_that_asks_for_nothing_there_is_named(shell: World, tmp_path: Path) -> None:
    """What was left out and why, and where to look."""
    (tmp_path / "flywheel.toml").write_text(SETTINGS + 'models = ["nobody"]\n')

    error = run(shell, "dataset", "build", "refunds").exception

    assert isinstance(error, NotEnoughData)
    assert "look at what the recipe 'refunds' asks for" in str(error)


def test_mistakes_are_named(shell: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Each says what to do instead, square brackets and all; none is a traceback."""
    run(shell, "dataset", "build")
    for words, message in (
        (("dataset", "export", "all", "--out", str(tmp_path / "nowhere" / "x.jsonl")), "--out"),
        (("dataset", "push", "all", "s3://"), "'s3://' is no store: write s3://"),
        (("dataset", "push", "all", "file://relative"), "or hf://datasets/OWNER/NAME"),
        (("erase", " "), "user_id"),
        (("erase", "person-003", "--purge-kafka"), "flywheel up"),
    ):
        error = run(shell, *words).exception
        assert isinstance(error, UsageError)
        assert message in str(error)
    monkeypatch.setattr(
        sys, "argv", ["flywheel", "--home", str(shell.settings.home_path), "dataset", "build", "nosuch"]
    )
    with pytest.raises(SystemExit):
        main()
    assert "Add [curate.recipes.nosuch] to the settings" in capsys.readouterr().err


def test_eval_items_by_hand(shell: World) -> None:
    """[add, edit the answer, build, retire]: what is not said stays; the set asks it until it is retired."""

    def done(*words: str) -> Any:
        return json.loads(run(shell, "golden", *words, "--json").stdout)

    item = done("add", "What is a wheel?", "Round.", "--slice", "shapes", "--reason", "nobody asks", "--by", "ana")
    done("edit", item["item_id"][:8], "--reference", "A round thing.", "--by", "ben")
    listed = run(shell, "golden", "list")
    before = json.loads(run(shell, "dataset", "build", "--json").stdout)
    gone = done("retire", item["item_id"], "--reason", "everybody knows")
    after = json.loads(run(shell, "dataset", "build", "--json").stdout)

    (found,) = done("list", "--all")
    assert (found["reference"], found["slice"], found["version"]) == ("A round thing.", "shapes", 3)
    assert (gone["event"], gone["reason"]) == ("retired", "everybody knows")
    assert "What is a wheel?" in listed.output
    assert "ben" in listed.output
    assert before["eval"]["eval_rows"] == after["eval"]["eval_rows"] + 1
    assert "No golden example stands" in run(shell, "golden", "list").output
