"""Which eval set decides: said by a name, in every place where a decision is read, and never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from flows import evalset, ledger
from flows.cli import app
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from flows.testing.events import feedback, interaction
from flows.testing.world import AS_OF, World
from flows.versions import versions
from schemas.errors import NotEnoughData, UsageError
from schemas.settings import CurateSettings, EvaluateSettings, Recipe, Settings
from streams.lake import Lake
from streams.lake.query import read

Flywheel = Callable[..., Result]
DAY = timedelta(days=1)
NARROW = CurateSettings(paraphrase=1, recipes={"rates": Recipe(clusters=("c-rates",))})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as found:
        yield found


@pytest.fixture
def bench(lake: Lake, tmp_path: Path, endpoint: Endpoint) -> Bench:
    """A champion, a better candidate, an eval set of recipe `all`, and a newer, smaller one of recipe `rates`."""
    found = Bench(lake, tmp_path / "home", EvaluateSettings(), endpoint)
    endpoint.reply = found.answer
    found.enlist()
    found.freeze(60)
    found.freeze(8, "v2", dataset="rates", created=found.as_of + DAY)
    return found


@pytest.fixture
def flywheel(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Flywheel:
    """The program with these data, and the recipe `rates` in its settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    settings = tmp_path / "flywheel.toml"
    settings.write_text('[curate.recipes.rates]\nclusters = ["c-rates"]\n[evaluate]\ntries = 1\neval_set = "all"\n')

    def run(*words: str, **settings_of: str) -> Result:
        env = {"COLUMNS": "300", "FLYWHEEL_HOME": bench.settings.home, "FLYWHEEL_LAKE": bench.lake.root, **settings_of}
        return CliRunner(env=env).invoke(app, ["--config", str(settings), *words])

    return run


def of_all(world: World) -> str:
    return evalset.of(evalset.find(world.lake, world.settings, "all"))


def built(world: World, count: int = 40, **fields: Any) -> None:
    """Interactions of as many users, each accepted, every fourth in the cluster `c-rates`."""
    events = [
        interaction(n, user_id=f"u{n}", input_messages=[{"role": "user", "content": f"{n * 7919} what about {n}"}])
        for n in range(count)
    ]
    world.happened(*events, *[feedback(n, event, value=1) for n, event in enumerate(events)])
    world.judged({event.id: "ok" for event in events}, {event.id: "c-rates" for event in events[::4]})


def test_a_dataset_of_one_cluster_leaves_the_gates_eval_set_alone(tmp_path: Path) -> None:
    """[build all, build rates]: what decides is still the set of `all`, and `rates` is had by its name."""
    world = World(tmp_path, recipes=NARROW.recipes)
    built(world)
    everything = curate(world.lake, world.settings, AS_OF)["eval"]
    narrow = curate(world.lake, world.settings, AS_OF + DAY, "rates")["eval"]

    assert everything["eval_rows"] > narrow["eval_rows"] > 0
    assert of_all(world) == f"all@{everything['version']}"
    assert evalset.find(world.lake, world.settings, "rates").version == narrow["version"]


def test_a_narrow_set_that_was_built_later_neither_holds_nor_promotes(flywheel: Flywheel, bench: Bench) -> None:
    """[evaluate, promote] with 8 newer items of `rates` at hand: all 60 of `all` decide, and each place says so."""
    summary = json.loads(flywheel("evaluate", "--json").stdout)
    shown = flywheel("promote")

    assert (summary["eval_set"], summary["dataset_version"], summary["items"]) == ("all", "v1", 60)
    decision = ledger.fold(bench.lake, bench.application).decisions[-1]
    assert (decision.action, decision.evidence["eval_set"], decision.evidence["dataset_version"]) == (
        "promoted", "all", "v1",
    )  # fmt: skip
    assert "on eval set all@v1" in shown.output
    assert "all@v1" in flywheel("ledger", "show").output
    assert "eval_set: all" in flywheel("champion").output
    assert [row["eval_set"] for row in read(bench.lake, "evaluations").to_pylist()] == ["all"]


def test_the_setting_names_another_set(flywheel: Flywheel) -> None:
    """`evaluate.eval_set = "rates"`: its 8 items decide, and the reason of the hold names them."""
    rates = {"FLYWHEEL_EVALUATE_EVAL_SET": "rates"}
    summary = json.loads(flywheel("evaluate", "--json", **rates).stdout)
    shown = flywheel("promote", "--json", **rates)

    assert (summary["eval_set"], summary["items"]) == ("rates", 8)
    assert json.loads(shown.stdout)["reasons"][0] == (
        "only 8 items of eval set rates@v2 have both scores; 30 are needed"
    )


def test_a_verdict_on_a_set_that_does_not_decide_is_no_evidence(flywheel: Flywheel) -> None:
    """Evaluated on one set, decided under another: held, and both are named."""
    flywheel("evaluate", FLYWHEEL_EVALUATE_EVAL_SET="rates")

    decided = json.loads(flywheel("promote", "--json").stdout)

    assert decided["action"] == "held"
    assert decided["reasons"] == ["evaluated on eval set rates@v2, but all@v1 decides now; evaluate again"]


def test_a_candidate_may_ask_for_its_own_set(flywheel: Flywheel, bench: Bench) -> None:
    """`candidate add --eval-set rates` stands in the ledger, in the list, and decides; others keep the setting's."""
    add = ("candidate", "add", "--endpoint", bench.endpoint.url, "--model", "newest")

    said = flywheel(*add, "--eval-set", "rates")

    assert "eval set rates decides about it" in said.output
    listed = json.loads(flywheel("candidate", "list", "--json").stdout)
    assert {row["model"]: row["eval_set"] for row in listed} == {"old": "all", "new": "all", "newest": "rates"}
    newest = next(row["id"] for row in listed if row["model"] == "newest")
    assert ledger.fold(bench.lake, bench.application).decisions[-1].evidence == {"eval_set": "rates"}
    assert json.loads(flywheel("evaluate", newest, "--json").stdout)["eval_set"] == "rates"
    assert flywheel(*add, "--eval-set", "rates").exit_code == 0
    assert len(ledger.rows(bench.lake, bench.application)) == 3


def test_a_candidate_registered_for_another_set_is_measured_on_that(flywheel: Flywheel, bench: Bench) -> None:
    """The same candidate, registered again for another set, is another registration: the last one counts."""
    add = ("candidate", "add", "--endpoint", bench.endpoint.url, "--model", "newest")
    flywheel(*add, "--eval-set", "rates")
    flywheel(*add, "--eval-set", "all")

    registry = ledger.fold(bench.lake, bench.application)

    assert registry.eval_set(registry.decisions[-1].candidate.id) == "all"
    assert [row.evidence.get("eval_set") for row in registry.decisions[-2:]] == ["rates", "all"]
    assert ledger.verify(bench.lake, bench.application) == 4


def test_a_candidate_that_was_held_waits_again_for_another_set(flywheel: Flywheel, bench: Bench) -> None:
    """[held on rates, registered for all, evaluate]: it is the one that waits, and the other set decides."""
    add = ("candidate", "add", "--endpoint", bench.endpoint.url, "--model", "newest")
    flywheel(*add, "--eval-set", "rates")
    flywheel("evaluate")
    held = json.loads(flywheel("promote", "--json").stdout)
    flywheel(*add, "--eval-set", "all")

    again = json.loads(flywheel("evaluate", "--json").stdout)

    assert (held["action"], held["candidate"]["model"], held["eval_set"]) == ("held", "newest", "rates@v2")
    assert (again["candidate"], again["eval_set"], again["items"]) == (held["candidate"]["id"], "all", 60)


def test_a_candidate_with_a_set_that_cannot_be_had_is_not_registered(flywheel: Flywheel, bench: Bench) -> None:
    """A wrong name is told at once, with the names there are; nothing is recorded."""
    add = ("candidate", "add", "--endpoint", bench.endpoint.url, "--model", "newest", "--eval-set", "ratse")

    error = str(flywheel(*add).exception)

    assert error == (
        "there is no eval set 'ratse': recipes are all, rates, sample; frozen sets are none yet. "
        "`flywheel eval-set freeze NAME` freezes one"
    )
    assert len(ledger.rows(bench.lake, bench.application)) == 2


def test_the_gate_in_a_pipeline_says_what_it_measured_on(flywheel: Flywheel, bench: Bench, tmp_path: Path) -> None:
    """Text, JSON and JUnit of `flywheel gate` name the set; a folder is named as what it is."""
    words = ("gate", "--candidate", f"new@{bench.endpoint.url}", "--champion", f"old@{bench.endpoint.url}")
    junit, markdown = tmp_path / "gate.xml", tmp_path / "gate.md"

    done = flywheel(*words, "--junit", str(junit), "--markdown", str(markdown), "--json")
    folder = flywheel(*words, "--dataset", str(bench.settings.datasets_path / "app" / "v2"), "--json")

    assert json.loads(done.stdout)["comparison"]["eval_set"] == "all"
    assert ElementTree.parse(junit).getroot().find("properties/property").attrib == {  # type: ignore[union-attr]
        "name": "eval_set",
        "value": "all@v1",
    }
    assert "on eval set all@v1" in markdown.read_text()
    assert json.loads(folder.stdout)["comparison"]["eval_set"] == "v2"


@pytest.mark.parametrize("frozen", [False, True], ids=["recipe", "frozen"])
def test_a_withdrawn_set_says_so(bench: Bench, frozen: bool) -> None:
    """No older version takes the place of one that was withdrawn; the sentence says how to make a new one."""
    bench.freeze(9, "v3", created=bench.as_of + 2 * DAY, kind="frozen" if frozen else "eval", **named(frozen))
    bench.freeze(
        9, "v3", created=bench.as_of + 3 * DAY, kind="frozen" if frozen else "eval", status="withdrawn",
        status_reason="holds rows of a person", **named(frozen),
    )  # fmt: skip

    with pytest.raises(NotEnoughData) as found:
        evalset.find(bench.lake, bench.settings, named(frozen)["dataset"])

    again = ", then `flywheel eval-set freeze holdout --dataset all`," if frozen else ""
    assert str(found.value) == (
        f"eval set {named(frozen)['dataset']}@v3 was withdrawn (holds rows of a person): `flywheel dataset build all`"
        f"{again} makes a new one"
    )


def named(frozen: bool) -> dict[str, str]:
    return {"dataset": "holdout" if frozen else "all"}


def test_a_stale_set_is_used_and_said(flywheel: Flywheel, bench: Bench) -> None:
    """Rows that rest on changed feedback: comparison and verdict carry the sentence, with the next step."""
    bench.freeze(60, created=bench.as_of + DAY, status="stale", status_reason="3 rows rest on feedback that changed")

    shown = flywheel("evaluate")
    decided = json.loads(flywheel("promote", "--json").stdout)

    sentence = (
        "eval set all@v1 is stale: 3 rows rest on feedback that changed; `flywheel dataset build all` makes a new one"
    )
    assert "is stale" in shown.output
    assert decided["action"] == "promoted"
    assert decided["reasons"][-1] == sentence


def test_a_set_that_is_not_there_yet_says_how_to_build_it(lake: Lake) -> None:
    """A recipe without a build is not yet data; a name that is nobody's is a mistake."""
    settings = Settings(lake=lake.root, curate=NARROW)

    with pytest.raises(NotEnoughData, match=r"no eval set of the recipe 'rates' yet: `flywheel dataset build rates`"):
        evalset.find(lake, settings, "rates")
    with pytest.raises(UsageError, match="there is no eval set 'x'"):
        evalset.find(lake, settings, "x")


def test_one_name_is_one_set(tmp_path: Path) -> None:
    """A frozen set cannot take a recipe's name; where a recipe is named like a frozen set later, neither is guessed."""
    world = World(tmp_path)
    built(world)
    curate(world.lake, world.settings, AS_OF)
    with pytest.raises(UsageError, match="'all' is a recipe"):
        freeze(world.lake, world.settings, AS_OF, "all", "all")
    freeze(world.lake, world.settings, AS_OF, "rates", "all")

    assert evalset.find(world.lake, world.settings, "rates").kind == "frozen"
    with pytest.raises(UsageError, match="both a recipe and a frozen eval set"):
        evalset.find(world.lake, Settings(home=world.settings.home, curate=NARROW), "rates")


def test_the_same_rows_built_again_are_the_newest(lake: Lake, tmp_path: Path, endpoint: Endpoint) -> None:
    """[v1, v2, v1 again]: what was built last decides, although it was first built before the other."""
    bench = Bench(lake, tmp_path / "home", EvaluateSettings(), endpoint)
    for day, version in enumerate(("v1", "v2", "v1")):
        bench.as_of += day * DAY
        bench.freeze(3, version, created=bench.as_of)

    assert evalset.find(lake, bench.settings, "all").version == "v1"
    assert [found.version for found in versions(lake)] == ["v1", "v2"]
