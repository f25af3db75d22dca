"""What Prometheus is told, and that dashboards and rules speak of nothing that no process exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flows import cost
from schemas.errors import UsageError
from schemas.serving import UiSettings
from schemas.settings import TriageSettings
from streams.archive import metrics as archive
from streams.broker.broker import free_port
from streams.lake import Lake
from streams.triage import report
from streams.triage.rates import Counts, Group
from tests.support.clusters import World, asked
from ui import metrics
from ui.app import make_app

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
PROMTOOL = shutil.which("promtool") or shutil.which(
    "promtool", path=str(Path.home() / ".cache" / "llm-flywheel" / "deploy" / "bin")
)


def of_the_wheel(world: World) -> str:
    """What the web app's own port answers."""
    app: Any = make_app(world.lake, world.settings, keep=False)
    app.flywheel.refresh()
    app.flywheel.health.look(datetime.now(UTC))
    port = free_port()
    metrics.serve(app.flywheel, UiSettings(metrics_port=port))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def exported(text: str) -> set[str]:
    """Names of the samples, and of families that have none yet."""
    families = list(text_string_to_metric_families(text))
    return {f.name + ("_total" if f.type == "counter" else "") for f in families} | {
        sample.name for f in families for sample in f.samples
    }


def named(text: str) -> set[str]:
    return set(re.findall(r"\bflywheel_[a-z_]+", text))


def test_dashboards_and_rules_name_what_is_exported(world: World) -> None:
    """By the registry of the archiver, triage's report and the web app's port; and each thing exported is looked at."""
    archived = prometheus_client.generate_latest().decode()
    assert archive.ROWS
    group = (Group("shop", "bot", "1"), 0, Counts())
    live = report.metrics(report.report([group], (), {}, {"interaction": 1}, TriageSettings()))
    known = {name for text in (archived, live, of_the_wheel(world)) for name in exported(text)}
    expressions = [rule["expr"] for rules in RULES["groups"] for rule in rules["rules"]]
    for board in sorted((DEPLOY / "grafana").glob("*.json")):
        panels = json.loads(board.read_text())["panels"]
        expressions += [target["expr"] for panel in panels for target in panel["targets"]]

    asked = {name for expression in expressions for name in named(expression)}

    assert asked - known == set()
    ours = {name for name in known if name.startswith("flywheel_") and not name.endswith("_created")}
    assert {name for name in ours if name + "_total" not in ours} - asked == set()


def test_a_clock_that_is_ahead_makes_no_wheel_stand_still(world: World, tmp_path: Path) -> None:
    """One event of the year 2100 is not the newest until then: the alert would never end, and hide a real one."""
    world = World(shutil.copytree(world.settings.home_path, tmp_path / "home"))  # others look at the shared one
    world.happened(asked(900), asked(901, time=datetime(2100, 1, 1, tzinfo=UTC)))
    found = {f.name: f for f in text_string_to_metric_families(of_the_wheel(world))}
    app: Any = make_app(world.lake, world.settings, keep=False)
    app.flywheel.refresh()
    late = [one.rule for one in app.flywheel.troubles(asked(900).time + timedelta(hours=1))]

    assert found["flywheel_newest_event_seconds"].samples[0].value < datetime.now(UTC).timestamp()
    assert "wheel_still" not in late


def test_the_wheel_says_when_it_turned_and_what_that_cost(world: World) -> None:
    """Numbers and the application's name; nothing of what anybody said."""
    with cost.measured(world.lake, world.settings.application, "run"):
        sum(range(10))
    found = {f.name: f for f in text_string_to_metric_families(of_the_wheel(world))}

    (turned,) = found["flywheel_turn_as_of_seconds"].samples
    assert turned.labels == {"application": world.settings.application}
    assert turned.value > 0
    assert found["flywheel_turn_cpu_seconds"].samples[0].value >= 0
    assert found["flywheel_kafka_answers"].samples[0].value == 0
    assert found["flywheel_lag_events"].samples == []  # not known, which is another thing than none


def test_a_cost_is_of_the_newest_turn_that_was_done(tmp_path: Path) -> None:
    """One that failed leaves the cost of the one before; another application has its own."""
    lake = Lake(str(tmp_path))
    assert cost.newest(lake, "shop") is None
    with cost.measured(lake, "shop", "first"):
        pass
    with pytest.raises(ValueError, match="broken"), cost.measured(lake, "shop", "second"):
        raise ValueError("broken")

    found = cost.newest(lake, "shop")

    assert found
    assert found.run_id == "first"
    assert cost.newest(lake, "a/../b") is None


def test_a_port_that_is_taken_is_named(world: World) -> None:
    """With the setting that moves it; port 0 is none."""
    app: Any = make_app(world.lake, world.settings, keep=False)
    port = free_port()
    metrics.serve(app.flywheel, UiSettings(metrics_port=port))

    with pytest.raises(UsageError, match=r"ui\.metrics_port"):
        metrics.serve(app.flywheel, UiSettings(metrics_port=port))
    metrics.serve(app.flywheel, UiSettings())


def test_each_rule_says_what_to_do() -> None:
    """A severity and a sentence, and names that are used once."""
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]

    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: python deploy/check.py --fetch")
def test_promtool_understands_the_rules() -> None:
    """As Prometheus itself will read them."""
    told = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(DEPLOY / "prometheus" / "rules.yml")], capture_output=True, check=False
    )

    assert told.returncode == 0, told.stderr
