"""What lies in `deploy/` is what the product is: its commands, ports, topics and settings; and it is valid."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from flows.cli import COMMANDS
from flows.deploy import job_variables
from schemas.loading import load
from schemas.settings import SECTIONS, ArchiveSettings, Settings
from schemas.topics import ARCHIVED
from streams.__main__ import PROCESSES

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm"
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
TEXT = "\n".join(TEMPLATES.values())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CACHE = Path.home() / ".cache" / "llm-flywheel" / "deploy"
SECRETS = re.compile("OPTIONS|CLIENT|KEY|SALT|AUTH|SECRET")


def _checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_check", ROOT / "deploy" / "check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK = _checker()
helm = pytest.mark.skipif(
    not (
        (shutil.which("helm") or (CACHE / "bin" / "helm").exists())
        and (shutil.which("kubeconform") or (CACHE / "bin" / "kubeconform").exists())
        and (CACHE / "schemas" / "_definitions.json").exists()
    ),
    reason="needs helm, kubeconform and schemas: python deploy/check.py --fetch",
)
promtool = pytest.mark.skipif(
    not (shutil.which("promtool") or (CACHE / "bin" / "promtool").exists()),
    reason="needs promtool: python deploy/check.py --fetch",
)
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())


def command(template: str) -> list[str]:
    """The command of a template's process, as compose names it."""
    found = re.search(r"\n +command: \[((?:python, -m|flywheel)[^\]]*)\]", TEMPLATES[template])
    assert found, template
    return found[1].split(", ")


def test_chart_and_compose_run_the_same_commands() -> None:
    """One process, one command, wherever it runs; each of them exists."""
    for template, service in (("archiver.yaml", "archiver"), ("triage.yaml", "triage"), ("door.yaml", "door")):
        assert command(template) == COMPOSE[service]["command"]
    assert command("archiver.yaml")[3] in PROCESSES
    assert command("triage.yaml")[1] in COMMANDS
    assert command("ui.yaml") == ["python", "-m", "ui"]


def test_ports_are_the_settings_own() -> None:
    """The chart sets no port of triage, door and web app: it names their defaults, which compose publishes too."""
    usual = Settings()
    assert f"containerPort: {usual.door.port}}}" in TEMPLATES["door.yaml"]
    assert f"containerPort: {usual.triage.web_port}}}" in TEMPLATES["triage.yaml"]
    assert f"http://127.0.0.1:{usual.ui.port}" in TEMPLATES["ui.yaml"]
    assert COMPOSE["door"]["ports"] == [f"127.0.0.1:{usual.door.port}:{usual.door.port}"]
    assert COMPOSE["triage"]["ports"] == [f"127.0.0.1:{usual.triage.web_port}:{usual.triage.web_port}"]
    archiver = TEMPLATES["archiver.yaml"]
    (port,) = re.findall(r'FLYWHEEL_ARCHIVE_METRICS_PORT, value: "(\d+)"', archiver)
    assert f"containerPort: {port}}}" in archiver


def test_each_variable_is_a_setting() -> None:
    """Of the chart, and of what its values speak of."""
    given = {f"FLYWHEEL_{name}".upper() for name in _names()}
    named = set(re.findall(r"FLYWHEEL_[A-Z_]+", TEXT + (CHART / "values.yaml").read_text()))

    assert len(named) >= 15
    assert named <= given
    assert load({}, {"FLYWHEEL_TRUSTED_KEYS": "[]", "FLYWHEEL_UI_ROLES": "{}"}) == Settings()


def _names() -> set[str]:
    names = {name for name in Settings.__struct_fields__ if name not in SECTIONS}
    return names | {f"{section}_{name}" for section, kind in SECTIONS.items() for name in kind.__struct_fields__}


def test_it_scales_on_the_lag_of_each_topic_that_is_archived() -> None:
    """A topic that is added to the product is added here."""
    (listed,) = re.findall(r"range list ((?:\"[^\"]+\" ?)+)", TEMPLATES["archiver.yaml"])

    assert re.findall(r'"([^"]+)"', listed) == [topic.name for topic in ARCHIVED]
    assert f"consumerGroup: {ArchiveSettings().group_id}" in TEMPLATES["archiver.yaml"]


@helm
def test_the_chart_is_valid() -> None:
    """Linted and validated strictly, the job that the worker makes included; nothing is skipped."""
    assert CHECK.chart(CACHE) == []


@promtool
def test_every_alert_fires_on_what_it_is_for_and_on_nothing_else() -> None:
    """As promtool plays them: a good hour and a bad five hours, with what each alert says."""
    named = {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}

    assert CHECK.rules(ROOT / "deploy" / "prometheus", CACHE) == []
    played = (ROOT / "deploy" / "prometheus" / "rules_test.yml").read_text()
    assert named == set(re.findall(r'alertname="(\w+)"', played))


@promtool
@pytest.mark.parametrize(
    ("right", "wrong", "why"),
    [
        ("time() - max by", "time( - max by", "parse error"),
        ("flywheel_lag_events > 500000", "flywheel_lags_events > 500000", "FAILED"),
        ("humanizePercentage", "humanisePercentage", "humanisePercentage"),
    ],
)
def test_a_misspelt_rule_is_found(right: str, wrong: str, why: str, tmp_path: Path) -> None:
    """In what it asks, of what, and in what it says."""
    folder = tmp_path / "prometheus"
    shutil.copytree(ROOT / "deploy" / "prometheus", folder)
    text = (folder / "rules.yml").read_text()
    assert right in text
    (folder / "rules.yml").write_text(text.replace(right, wrong))

    assert why in "".join(CHECK.rules(folder, CACHE))


@helm
@pytest.mark.parametrize(
    ("template", "right", "wrong"),
    [
        ("archiver.yaml", "livenessProbe:", "livenesProbe:"),
        ("archiver.yaml", "maxUnavailable: 1\n  selector", "maxUnavailble: 1\n  selector"),
        ("archiver.yaml", "minReplicaCount:", "minReplicasCount:"),
        ("_helpers.tpl", "readOnlyRootFilesystem:", "readOnlyRootFileSystem:"),
        ("network.yaml", "podMetricsEndpoints:", "podMetricEndpoints:"),
        ("_job.tpl", "backoffLimit:", "backofLimit:"),
    ],
)
def test_a_misspelling_is_found(template: str, right: str, wrong: str, tmp_path: Path) -> None:
    """In resources of Kubernetes, of KEDA, of the Prometheus operator, and in the job of a run."""
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    assert right in TEMPLATES[template]
    (chart / "templates" / template).write_text(TEMPLATES[template].replace(right, wrong))

    found = CHECK.validate(CHECK.render(chart, CACHE), CACHE)

    assert found
    assert all(wrong.partition(":")[0] in each for each in found), found


def pods(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod of each resource that makes some."""
    return {each["kind"] + str(n): each["spec"]["template"]["spec"] for n, each in enumerate(resources)
            if each["kind"] in {"Deployment", "Job"}}  # fmt: skip


@helm
def test_no_pod_is_root_or_writes_beside_its_volumes() -> None:
    """And no account of the cluster is in a pod but the worker's, which starts jobs."""
    found = pods(CHECK.render(CHART, CACHE))

    assert len(found) == 6
    for pod in found.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["limits"]["memory"]
    assert sum(pod["automountServiceAccountToken"] for pod in found.values()) == 1


@helm
def test_secrets_are_named_and_never_written() -> None:
    """No Secret is made, and each variable that could hold one refers to a key of one; the door signs nothing."""
    resources = CHECK.render(CHART, CACHE)

    assert "Secret" not in {each["kind"] for each in resources}
    for pod in pods(resources).values():
        for container in pod["containers"]:
            for variable in container.get("env", []):
                if SECRETS.search(variable["name"]) and variable["name"] != "FLYWHEEL_TRUSTED_KEYS":
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]
        for volume in pod["volumes"]:
            if pod["containers"][0]["name"] == "door" and "secret" in volume:
                assert [item["key"] for item in volume["secret"]["items"]] == ["door-tokens.json"]


@helm
def test_a_setting_of_the_values_is_read_as_what_was_written(tmp_path: Path) -> None:
    """Helm reads each number as a float, and would write a large one as 1.3e+08; a list becomes JSON."""
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    given = {
        "FLYWHEEL_ARCHIVE_BATCH_BYTES": 134217728,
        "FLYWHEEL_GATE_APPROVAL": True,
        "FLYWHEEL_EVALUATE_PRIVATE_ENDPOINTS": ["a"],
    }
    values = VALUES | {"settings": given, "archiver": VALUES["archiver"] | {"lagThreshold": 2_000_000}}
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    resources = CHECK.render(chart, CACHE)

    for pod in pods(resources).values():
        said = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        if "FLYWHEEL_LAKE" in said:
            found = load({}, {name: said[name] for name in given})
            assert (found.archive.batch_bytes, found.gate.approval) == (134217728, True)
            assert list(found.evaluate.private_endpoints) == ["a"]
    (scaled,) = [each for each in resources if each["kind"] == "ScaledObject"]
    assert {each["metadata"]["lagThreshold"] for each in scaled["spec"]["triggers"]} == {"2000000"}


@helm
def test_the_job_has_a_place_for_all_that_a_deployment_says() -> None:
    """`flywheel deploy` on a pool that the chart's worker made; each place is a variable of the template."""
    (template,) = [
        json.loads(each["data"]["job.json"]) for each in CHECK.render(CHART, CACHE) if each["kind"] == "ConfigMap"
    ]
    variables = set(template["variables"]["properties"])

    assert set(job_variables("kubernetes", "image", 1, {})) <= variables
    assert set(CHECK.PLACE.findall(json.dumps(template["job_configuration"]))) <= variables
