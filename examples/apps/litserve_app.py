"""LitServe: `predict` runs in a process of its own, so what is asked and answered is captured around the server.

FLYWHEEL_APPLICATION=support FLYWHEEL_URL=http://127.0.0.1:4318 python litserve_app.py
"""

from __future__ import annotations

import json
from typing import Any

import litserve

import llm_flywheel as fly


class Capture:
    """Pure ASGI around `/predict`: reads the bodies of request and reply, and adds the interaction's id to it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] != "/predict":
            await self.app(scope, receive, send)
            return
        turn, asked, answered = fly.interaction(model="echo", messages="[unread]"), bytearray(), bytearray()

        async def hear() -> Any:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def reply(message: Any) -> None:
            if message["type"] == "http.response.start":
                told = (b"x-interaction-id", turn.id.encode())
                message = {**message, "headers": [*message.get("headers", ()), told]}
            answered.extend(message.get("body", b""))
            await send(message)

        with turn:
            await self.app(scope, hear, reply)
            turn.set(input_messages=[{"role": "user", "content": json.loads(asked)["question"]}])
            turn.output(json.loads(answered)["answer"])


class Echo(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def predict(self, request: dict[str, str]) -> dict[str, str]:
        """Runs in a worker process."""
        return {"answer": request["question"].upper()}


def make() -> litserve.LitServer:
    """The server, with capture around it."""
    fly.init()
    server = litserve.LitServer(Echo(), accelerator="cpu", workers_per_device=1)
    server.app.add_middleware(Capture)
    return server


if __name__ == "__main__":
    make().run(port=8000, generate_client_file=False)
