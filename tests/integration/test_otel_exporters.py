"""Real instrumentations and the real OTLP exporter, through the real door: what they emit today becomes events.

Needs a Python of its own: `python tests/support/venvs.py otel` makes it; skipped where there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support import venvs
from tests.support.kafka import Ingest
from tests.support.llm import ANSWER, serving
from tests.support.open_door import open_door

PYTHON = venvs.python("otel")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        PYTHON is None, reason="OpenTelemetry's instrumentations are not here: tests/support/venvs.py otel"
    ),
]
SDK = Path(__file__).resolve().parents[2] / "sdk" / "src"
INSTRUMENTATIONS = {
    "genai": "opentelemetry.instrumentation.genai.openai",
    "openinference": "openinference.instrumentation.openai",
    "traceloop": "opentelemetry.instrumentation.openai",
}
APPLICATION = """
import importlib, sys
import openai
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
import llm_flywheel as fly
from llm_flywheel.otel import ContextProcessor

module, door, endpoint = sys.argv[1:]
provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(ContextProcessor())
exporter = OTLPSpanExporter(endpoint=door + "/v1/traces", compression=Compression.Gzip)
provider.add_span_processor(BatchSpanProcessor(exporter))
importlib.import_module(module).OpenAIInstrumentor().instrument(tracer_provider=provider)
client = openai.OpenAI(base_url=endpoint + "/v1", api_key="k", max_retries=0)
with fly.conversation("visit-1", user_id="gardener-1", prompt_version="v3"):
    client.chat.completions.create(model="leaf-1", messages=[
        {"role": "system", "content": "You sell plants."}, {"role": "user", "content": "Is the fig ripe?"}])
    for chunk in client.chat.completions.create(model="leaf-1", stream=True, messages=[
            {"role": "user", "content": "Is the pear ripe?"}]):
        pass
    try:
        client.chat.completions.create(model="leaf-1", messages=[{"role": "user", "content": "boom"}])
    except openai.OpenAIError:
        pass
provider.shutdown()
"""


@pytest.mark.parametrize("dialect", INSTRUMENTATIONS)
def test_what_an_instrumentation_emits_becomes_events(ingest: Ingest, dialect: str, tmp_path: Path) -> None:
    """A call, a streamed one and a failed one; with the conversation and its user, which none sets by itself."""
    assert PYTHON is not None
    with serving() as endpoint, open_door(ingest.settings) as door:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SDK),
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY", "TRACELOOP_TELEMETRY": "false",
        }  # fmt: skip
        command = [str(PYTHON), "-c", APPLICATION, INSTRUMENTATIONS[dialect], door, endpoint.url]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr

    ingest.archive()
    assert ingest.ask("SELECT * FROM dead_letters") == []
    rows = ingest.ask("SELECT * FROM interactions ORDER BY time")
    assert [json.loads(row["input_messages"])[-1].get("content") or "parts" for row in rows]
    said = [json.dumps(row["input_messages"]) for row in rows]
    assert [text for text in ("fig ripe", "pear ripe", "boom") if not any(text in each for each in said)] == []
    assert len(rows) == 3
    assert {(row["conversation_id"], row["user_id"], row["prompt_version"]) for row in rows} == {
        ("visit-1", "gardener-1", "v3")
    }
    assert {row["application"] for row in rows} == {"shop"}
    assert [row["error_type"] for row in rows] == [None, None, "BadRequestError"]
    assert all(ANSWER in row["output_messages"] for row in rows[:2])
    assert all(row["duration_ms"] > 0 and row["request_model"] == "leaf-1" for row in rows)
