"""Texts to vectors: exact, offline, and the same for a text whatever stands beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from flows.embed import GRAIN, load, on_grid
from schemas.errors import EndpointError, SettingsError

TEXTS = ["where is my parcel", "", "I lost my card", "x" * 100_000, "😀", "日本語", "WHERE is my PARCEL"]


class Vectors(BaseHTTPRequestHandler):
    """An embeddings endpoint: a text's vector is its length and one; out of order, as the contract allows."""

    broken = False

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        data = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(texts)]
        body = b"oops" if self.broken else json.dumps({"data": data[::-1]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The base URL of the endpoint above."""
    server = HTTPServer(("127.0.0.1", 0), Vectors)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_texts_vector_depends_on_that_text_alone() -> None:
    """Alone, in another order or among others: the same bits."""
    embedder = load("wordllama")
    together = embedder.embed(TEXTS)

    assert (embedder.embed(TEXTS[::-1])[::-1] == together).all()
    assert all((embedder.embed([text])[0] == row).all() for text, row in zip(TEXTS, together, strict=True))
    assert (together[0] == together[-1]).all()


def test_vectors_lie_on_the_grid() -> None:
    """Entries are multiples of the grain and rows about unit length, zeros where nothing is known."""
    rows = load("wordllama").embed(TEXTS)

    assert (rows / GRAIN == np.rint(rows / GRAIN)).all()
    assert not rows[1].any()
    lengths = np.linalg.norm(rows[[0, 2, 3]], axis=1)
    assert np.abs(lengths - 1).max() < 0.01
    assert not on_grid(np.array([[np.nan, np.nan]])).any()


def test_similar_questions_are_near() -> None:
    """Two ways to ask the same are nearer than two topics."""
    one, same, other = load("wordllama").embed(["where is my parcel", "my parcel has not arrived", "reset my password"])

    assert one @ same > one @ other + 0.2


def test_an_endpoint_embeds(endpoint: str) -> None:
    """Rows come back in order, empty texts as zeros, and the id names model and place."""
    embedder = load("some-model", endpoint)

    rows = embedder.embed(["abc", "", "a"])

    assert rows[1].tolist() == [0.0, 0.0]
    assert rows[0] == pytest.approx([0.949, 0.316], abs=0.001)
    assert rows[2] == pytest.approx([0.707, 0.707], abs=0.001)
    assert embedder.id == f"some-model@{endpoint}"


def test_an_endpoint_that_answers_nonsense_is_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which address gave no vectors."""
    monkeypatch.setattr(Vectors, "broken", True)

    with pytest.raises(EndpointError, match="/v1/embeddings gave no vectors"):
        load("some-model", endpoint).embed(["abc"])


@pytest.mark.parametrize(("name", "url"), [("word-llama", ""), ("m", "ftp://host/v1")])
def test_a_wrong_setting_is_explained(name: str, url: str) -> None:
    """An unknown embedder or address is refused with what would work."""
    with pytest.raises(SettingsError, match=r"wordllama|http://"):
        load(name, url)


def test_loading_an_embedder_leaves_the_log_alone() -> None:
    """A library that configures everybody's log when it is imported would print our lines on a person's screen."""
    code = "import logging; from flows.embed import load; load('wordllama'); print(logging.getLogger().handlers)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout.strip() == "[]"
