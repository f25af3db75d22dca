"""Each road of docs/apps.md, run as it is written, ends with its event in the lake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import llm_flywheel
from tests.support import llm
from tests.support.kafka import Ingest
from tests.support.open_door import open_door
from tests.support.packages import install

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
SDK = Path(llm_flywheel.__file__).parents[1]
PAGE = (ROOT / "docs" / "apps.md").read_text()
WRITTEN = "http://127.0.0.1:4318"
SPAN = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
with provider.get_tracer("app").start_as_current_span("chat m") as span:
    for key, value in {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"When is it due?"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"On Friday."}]}]',
    }.items():
        span.set_attribute(key, value)
"""


def road(title: str) -> list[tuple[str, str]]:
    """The blocks of a road: language and text."""
    text = PAGE.split(f"## I have {title}")[1].split("\n## ")[0]
    return re.findall(r"```(\w+)\n(.+?)```", text, re.DOTALL)


def run(program: list[str], place: Path, **environment: str) -> str:
    """A program that must end well."""
    known = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(place),
        "NO_PROXY": "*",
    }
    done = subprocess.run(
        program, capture_output=True, text=True, timeout=120, check=False, cwd=place, env={**known, **environment}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture
def door(ingest: Ingest) -> Iterator[str]:
    """An open door over empty topics."""
    with open_door(ingest.settings) as url:
        yield url


def asked(ingest: Ingest) -> list[str]:
    """What the archived interactions asked."""
    ingest.archive()
    return [row["input_messages"] for row in ingest.stored("interactions")]


def test_the_roads_are_short() -> None:
    """Ten lines at most to the first event, whatever one has."""
    for _, block in re.findall(r"```(\w+)\n(.+?)```", PAGE, re.DOTALL):
        assert len([line for line in block.splitlines() if line.strip()]) <= 10


def test_the_openai_client(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """A real client against a local endpoint: its call and the thumb about it."""
    packages = install(tmp_path / "packages", "openai==3.57.0")
    ((_, program),) = road("the openai or anthropic client")
    with llm.serving() as endpoint:
        environment = {"OPENAI_BASE_URL": f"{endpoint.url}/v1", "OPENAI_API_KEY": "k"}
        path = f"{packages}{os.pathsep}{SDK}"
        run([sys.executable, "-c", program.replace(WRITTEN, door)], tmp_path, PYTHONPATH=path, **environment)

    assert "When is it due?" in asked(ingest)[0]
    assert [row["kind"] for row in ingest.stored("feedback")] == ["thumb"]


def test_a_model_of_ones_own(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """An interaction and its correction."""
    ((_, program),) = road("a model of my own")

    run([sys.executable, "-c", program.replace(WRITTEN, door)], tmp_path, PYTHONPATH=str(SDK))

    assert len(asked(ingest)) == 1
    assert [row["kind"] for row in ingest.stored("feedback")] == ["correction"]


def test_opentelemetry(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """A real exporter, told by the three variables alone."""
    packages = install(tmp_path / "packages", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
    ((_, shell),) = road("OpenTelemetry")
    (tmp_path / "span.py").write_text(SPAN)
    script = shell.replace(WRITTEN, door) + f"\n{sys.executable} span.py\n"

    run(["bash", "-euc", script], tmp_path, PYTHONPATH=str(packages))

    assert "When is it due?" in asked(ingest)[0]
    assert ingest.stored("interactions")[0]["application"] == "support-bot"


def test_litellm() -> None:
    """The line names what the SDK has; tests/sdk/test_litellm.py runs it in the real proxy."""
    ((_, text),) = road("LiteLLM's proxy")
    (name,) = yaml.safe_load(text)["litellm_settings"]["callbacks"]
    module, _, attribute = name.rpartition(".")

    source = (SDK / f"{module.replace('.', '/')}.py").read_text()

    assert re.search(rf"^{attribute}\b|def __getattr__", source, re.MULTILINE)


def test_another_language(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """Feedback with nothing but a shell."""
    ((_, shell),) = road("a web page, or another language")

    run(["bash", "-euc", shell.replace(WRITTEN, door)], tmp_path)

    ingest.archive()
    assert [row["kind"] for row in ingest.stored("feedback")] == ["thumb"]


def test_an_export(tmp_path: Path) -> None:
    """A dry run over one generation."""
    ((_, shell),) = road("last year's export")
    (tmp_path / "export").mkdir()
    row = {"id": "o", "trace_id": "t", "type": "GENERATION", "start_time": "2026-03-01", "input": "Hi", "output": "Ho"}
    (tmp_path / "export" / "observations.jsonl").write_text(json.dumps(row))

    assert "1 interactions and 0 feedback events would be sent" in run(["bash", "-euc", shell], tmp_path)


def test_without_a_network(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """Written one day, delivered another, twice."""
    (_, program), (_, shell) = road("no network")
    spool = str(tmp_path / "spool")
    run([sys.executable, "-c", program.replace("/var/spool/flywheel", spool)], tmp_path, PYTHONPATH=str(SDK))
    kept = {path.name: path.read_bytes() for path in Path(spool).iterdir()}
    script = shell.replace("/var/spool/flywheel", spool).replace(WRITTEN, door)

    run(["bash", "-euc", script], tmp_path, PYTHONPATH=str(SDK))
    for name, content in kept.items():
        (Path(spool) / name).write_bytes(content)
    run(["bash", "-euc", script], tmp_path, PYTHONPATH=str(SDK))

    ingest.archive()
    assert len({row["id"] for row in ingest.stored("interactions")}) == 1  # the views of the lake take each id once
