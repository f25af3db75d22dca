"""A language model behind an OpenAI-compatible API, for two CPU cores or a GPU: requests are answered in micro-batches.

    python server.py --model MODELS/bot-1 --name bot-1 --port 8001 [--shots DATASETS/RECIPE/VERSION]

Who waits is taken together, up to `--batch` at a time: of 32 an answer takes .20 s on two cores, of 8 .34. With
`--shots` each request is preceded by the answers to the most similar requests of a dataset's `completion` rows: a
prompt version that retrieves its examples.
Served: `POST /v1/chat/completions` (whole answers), `GET /v1/models`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from transformers import AutoModelForCausalLM, AutoTokenizer

MAX_TOKENS = 48
"""Of an answer, where the request says nothing."""
MAX_CHARS = 20_000
"""Of a request's messages: far beyond what the model has seen."""
MAX_WAITING = 512
"""Further requests are told to come again: they would wait for minutes."""
GATHER_S = 0.03
"""How long a batch waits for others: who was answered together asks again within it, not one before the rest."""
SHOTS = 3
Chat = list[dict[str, str]]


class Message(BaseModel):
    """One message of a request."""

    role: str
    content: str = Field(default="", max_length=MAX_CHARS)


class Asked(BaseModel):
    """What is read of a chat completion request."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=100)
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=MAX_TOKENS, ge=1, le=512)


@dataclass(frozen=True)
class Said:
    """An answer, with the tokens read and written for it."""

    text: str
    read: int
    written: int
    cut: bool
    """The limit of tokens was reached before the end."""


class Shots:
    """The rows of a dataset, found by how many pieces of four letters they share with a request."""

    def __init__(self, folder: Path) -> None:
        from datasets import disable_progress_bars, load_dataset  # noqa: PLC0415 100 MB that others need not pay

        disable_progress_bars()
        rows = load_dataset(str(folder), "completion", split="train", cache_dir=str(folder.parent / ".hf-cache"))
        self._rows = [(row["prompt"][-1]["content"], row["completion"][-1]["content"]) for row in rows]
        self._pieces = [_pieces(text) for text, _ in self._rows]
        self._seen = Counter(piece for pieces in self._pieces for piece in pieces)

    def before(self, text: str) -> Chat:
        """The most similar rows as earlier turns, the most similar one last."""
        asked = _pieces(text)
        near = sorted(
            range(len(self._rows)),
            key=lambda row: sum(1 / self._seen[piece] for piece in asked & self._pieces[row]),
            reverse=True,
        )[:SHOTS]
        found: Chat = []
        for row in reversed(near):
            said, call = self._rows[row]
            found += [{"role": "user", "content": said}, {"role": "assistant", "content": call}]
        return found


def _pieces(text: str) -> set[str]:
    bare = " ".join(text.lower().split())
    return {bare[at : at + 4] for at in range(len(bare) - 3)}


class Model:
    """The weights, and one batch at a time."""

    def __init__(self, folder: Path, shots: Shots | None) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        gpu = torch.cuda.is_available()
        self._device = "cuda" if gpu else "cpu"
        kind = torch.bfloat16 if gpu else torch.float32
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind).to(self._device).eval()
        self._shots = shots

    @torch.inference_mode()
    def answer(self, asked: Sequence[Asked]) -> list[Said]:
        """Answers to requests with the same parameters, in their order."""
        texts = [
            self._tokenizer.apply_chat_template(self._chat(one), tokenize=False, add_generation_prompt=True)
            for one in asked
        ]
        given = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(self._device)
        heat = asked[0].temperature
        sampling = {"do_sample": True, "temperature": heat} if heat else {"do_sample": False}
        end = self._tokenizer.eos_token_id
        made = self._model.generate(**given, max_new_tokens=asked[0].max_tokens, pad_token_id=end, **sampling)
        width = given["input_ids"].shape[1]
        lengths = given["attention_mask"].sum(dim=1).tolist()
        return [self._said(row[width:].tolist(), read, end) for row, read in zip(made, lengths, strict=True)]

    def _chat(self, asked: Asked) -> Chat:
        chat = [{"role": message.role, "content": message.content} for message in asked.messages]
        return [*chat[:-1], *self._shots.before(chat[-1]["content"]), chat[-1]] if self._shots else chat

    def _said(self, tokens: list[int], read: int, end: int) -> Said:
        cut = end not in tokens
        kept = tokens if cut else tokens[: tokens.index(end)]
        return Said(self._tokenizer.decode(kept, skip_special_tokens=True), read, len(kept) + (not cut), cut)


class Line:
    """Requests in line: one worker thread answers those that came in the meantime, together."""

    def __init__(self, model: Model, batch: int) -> None:
        self._model = model
        self._batch = batch
        self._waiting: list[tuple[Asked, asyncio.Future[Said]]] = []
        self._come = asyncio.Event()

    async def answer(self, asked: Asked) -> Said:
        """Wait in line for the answer to one request."""
        if len(self._waiting) >= MAX_WAITING:
            raise HTTPException(429, "too many requests are waiting: try again in a minute")
        future: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        self._come.set()
        return await future

    async def work(self) -> None:
        """Answer for ever."""
        while True:
            await self._come.wait()
            if len(self._waiting) < self._batch:
                await asyncio.sleep(GATHER_S)
            batch = self._take()
            try:
                answers = await asyncio.to_thread(self._model.answer, [asked for asked, _ in batch])
            except Exception as error:  # whoever asked is told; the worker outlives any one batch
                for _, future in batch:
                    if not future.done():
                        future.set_exception(HTTPException(500, f"{type(error).__name__}"))
                continue
            for (_, future), said in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(said)

    def _take(self) -> list[tuple[Asked, asyncio.Future[Said]]]:
        """The next batch: the longest waiting, and others with its parameters."""
        first = self._waiting[0][0]
        like = [one for one in self._waiting if _parameters(one[0]) == _parameters(first)][: self._batch]
        self._waiting = [one for one in self._waiting if one not in like]
        if not self._waiting:
            self._come.clear()
        return like


def _parameters(asked: Asked) -> tuple[float, int]:
    return asked.temperature, asked.max_tokens


def create_app(line: Line, name: str) -> FastAPI:
    """The application over one model."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(line.work())
        yield
        worker.cancel()

    app = FastAPI(title="real-lm", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "real-lm"}]}

    @app.post("/v1/chat/completions")
    async def chat(asked: Asked) -> dict[str, Any]:
        if asked.model != name:
            raise HTTPException(404, f"this is {name}")
        said = await line.answer(asked)
        choice = {
            "index": 0, "finish_reason": "length" if said.cut else "stop",
            "message": {"role": "assistant", "content": said.text},
        }  # fmt: skip
        usage = {
            "prompt_tokens": said.read, "completion_tokens": said.written, "total_tokens": said.read + said.written
        }  # fmt: skip
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time())}
        return {**head, "model": name, "choices": [choice], "usage": usage}

    return app


def main() -> None:
    """Load the model, then serve it until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", required=True, help="under which it is asked for")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--shots", type=Path, help="a dataset version whose rows are shown as examples")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    line = Line(Model(args.model, Shots(args.shots) if args.shots else None), args.batch)
    uvicorn.run(create_app(line, args.name), host="127.0.0.1", port=args.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
