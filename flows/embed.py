"""Text to vectors: the one door to every embedder, shared by the stages that compare texts.

`load` gives the embedder that the settings name. Vectors of different embedders are never mixed: each carries its `id`.
Where it is sent to other processes it goes by its name, and not with its weights. Go on to `embedded.py`, the work.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from flows.encoders import OnnxEncoder, UniversalEncoder, content_of, folder_content, quality
from flows.extend import calling, checked, fingerprint, is_reference, maker
from flows.outbound import Bounds, ask
from schemas.errors import EndpointError, ExtensionError, LakeError, SettingsError
from schemas.secrets import Secret

NO_KEY = Secret()
ONNX = "onnx:"
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

    Made once a run, in the process that uses it; with Spark as the engine in its workers too. `embed` is called any
    number of times, with any number of texts, none of them too, any of them empty, never two calls at a time. A text's
    row depends on that text alone, never on its neighbours or on what came before: kept vectors are compared with new
    ones for as long as `id` is the same.
    """

    @property
    def id(self) -> str:
        """Names model and version: kept beside each vector. Vectors of different ids are never compared."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, in order, all of one length; zeros for a text that says nothing."""


def load(name: str, url: str = "", key: Secret = NO_KEY, declared: Collection[str] = ()) -> Embedder:
    """The embedder called `name`, as the setting `cluster.embedder` has it, or a model at `url`.

    `wordllama`, `quality`, `multilingual`, `onnx:FOLDER`, `sentence-transformers/…`, `module:name`; several with `+`.
    `url` is the base of an OpenAI-compatible API, up to and with `/v1`; `key` its bearer token, `declared` the
    private hosts that may be called. Raises SettingsError.
    """
    if url:
        return EndpointEmbedder(name, url, key, declared)
    if name.startswith(ONNX):
        return EncoderEmbedder(name, OnnxEncoder(Path(name.removeprefix(ONNX))))
    if "+" in name:
        return JoinedEmbedder([load(part) for part in name.split("+")])
    if name in BUILT_IN:
        return _built_in(name)
    if is_reference(name):
        return OwnEmbedder(name)
    if name.startswith("sentence-transformers/"):
        return SentenceTransformersEmbedder(name)
    raise SettingsError(
        f"there is no embedder {name!r}: use 'wordllama', 'quality', 'multilingual', 'onnx:FOLDER', "
        "'sentence-transformers/MODEL', 'module:name' for one of your own, several joined by '+', or set "
        "cluster.embedder_url to an OpenAI-compatible endpoint that serves it"
    )


@functools.cache
def again(name: str, id_: str, code: str) -> Embedder:
    """In a process that it was sent to, the embedder of this name. Raises LakeError where it is not the sender's."""
    embedder = load(name)
    if (embedder.id, code_of(name)) != (id_, code):
        raise LakeError(
            f"the embedder {name!r} is {embedder.id} here, and {id_} where its work was sent from: install the same "
            "models and extensions where Spark's workers are"
        )
    return embedder


@functools.cache
def _built_in(name: str) -> Embedder:
    """One that comes with the program, its weights read once a process."""
    return BUILT_IN[name]()


def code_of(name: str, url: str = "") -> str:
    """What an embedder of a person's own computes with, for the id of a run: its code, or the content of its folder.

    Empty for one that comes with the program or is served at `url`. Raises SettingsError.
    """
    if url:
        return ""
    return folder_content(Path(name.removeprefix(ONNX))) if name.startswith(ONNX) else fingerprint(*name.split("+"))


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


class _ByName:
    """An embedder whose weights are wherever the program is: what is sent of it is what it is called."""

    name: str
    id: str

    def __reduce__(self) -> tuple[Callable[[str, str, str], Embedder], tuple[str, str, str]]:
        return again, (self.name, self.id, code_of(self.name))


class WordLlamaEmbedder(_ByName):
    """The default: mean of 256-d token vectors that come inside the `wordllama` wheel; offline, about 15k texts/s."""

    name = "wordllama"
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
        content = content_of(*sorted(folder.glob("weights/*.safetensors")), *sorted(folder.glob("tokenizers/*.json")))
        self.id = f"wordllama-{content[:16]}-{self._table.shape[1]}-w{self.TOKEN_WEIGHT}"

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


class EncoderEmbedder(_ByName):
    """A sentence encoder that lies in files (`encoders.py`): `quality`, `multilingual`, `onnx:FOLDER`."""

    def __init__(self, name: str, encoder: OnnxEncoder | UniversalEncoder) -> None:
        self.name, self._encoder, self.id = name, encoder, encoder.id

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The encoder's rows, one text a call."""
        return on_grid(self._encoder.rows([text[:MAX_CHARS] for text in texts]))


class JoinedEmbedder:
    """Several embedders side by side, `wordllama+multilingual`: a cosine is then the mean of theirs."""

    def __init__(self, parts: Sequence[Embedder]) -> None:
        self._parts, self.id = parts, "+".join(part.id for part in parts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Their rows one after the other, at unit length again."""
        return on_grid(np.concatenate([part.embed(texts) for part in self._parts], axis=1))


class SentenceTransformersEmbedder(_ByName):
    """Any sentence-transformers model that is installed or cached on the machine; brings torch, so never a default."""

    def __init__(self, name: str) -> None:
        try:
            sentence_transformers = importlib.import_module("sentence_transformers")  # lazy: only where installed
        except ImportError as error:
            raise SettingsError(f"embedder {name!r} needs `pip install sentence-transformers`") from error
        self.name, self._model = name, sentence_transformers.SentenceTransformer(name)
        self.id = f"{name}@{self._content()[:16]}-sentence-transformers-{sentence_transformers.__version__}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The model's own pooling; empty texts are zeros."""
        rows = np.asarray(self._model.encode([text[:MAX_CHARS] for text in texts], convert_to_numpy=True))
        said = np.array([bool(text.strip()) for text in texts])
        return on_grid(rows * said[:, None])

    def _content(self) -> str:
        """SHA-256 of the weights as loaded, in order of their names: a model may be replaced under its name."""
        digest = hashlib.sha256()
        for name, weights in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weights.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()


class OwnEmbedder(_ByName):
    """An embedder of a person's own, held to the protocol; its vectors are put on the grid like all others."""

    def __init__(self, reference: str) -> None:
        make = maker("cluster.embedder", reference, "embedder")
        with calling(reference):
            self._embedder: Embedder = checked(reference, make(), "id", "embed")
        self.name, self.id = reference, f"{reference}/{self._embedder.id}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Its vectors. Raises ExtensionError where it fails, or gives anything but one row of numbers a text."""
        if not texts:
            return np.zeros((0, 0), np.float32)
        with calling(self.name):
            rows = np.asarray(self._embedder.embed([text[:MAX_CHARS] for text in texts]), dtype=np.float64)
        if rows.ndim != 2 or len(rows) != len(texts) or not rows.shape[1]:
            raise ExtensionError(f"{self.name} gives an array of shape {rows.shape} for {len(texts)} texts")
        return on_grid(rows)


class EndpointEmbedder:
    """A model behind an OpenAI-compatible `/embeddings`."""

    BOUNDS = Bounds(timeout_s=60, max_bytes=64 * 2**20)
    """128 vectors of 4,096 numbers of twenty characters are 10 MB."""
    TRIES = 3

    def __init__(self, model: str, url: str, key: Secret = NO_KEY, declared: Collection[str] = ()) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"cluster.embedder_url must start with http:// or https://, got {url!r}")
        self._model, self._url, self._key = model, url.rstrip("/") + "/embeddings", key
        self._declared = declared
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
        body = {"model": self._model, "input": [text[:MAX_CHARS] for text in texts]}
        problem: Exception | None = None
        for _ in range(self.TRIES):
            try:
                return _rows(ask(self._url, body, self._key, self._declared, self.BOUNDS), len(texts))
            except (EndpointError, msgspec.ValidationError) as error:
                problem = error
        raise EndpointError(f"{self._url} gave no vectors for {self._model!r} in {self.TRIES} tries: {problem}")


class _Row(Struct):
    index: int
    embedding: list[float]


class _Answer(Struct):
    data: list[_Row]


def _rows(answer: Any, wanted: int) -> list[list[float]]:
    """The vectors in the order of their texts. Raises EndpointError, or ValidationError for what are no vectors."""
    rows = [row.embedding for row in sorted(msgspec.convert(answer, _Answer).data, key=lambda row: row.index)]
    if len(rows) != wanted or len({len(row) for row in rows}) != 1:
        raise EndpointError(f"{len(rows)} vectors for {wanted} texts, or of unequal length")
    return rows


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


BUILT_IN: dict[str, Callable[[], Embedder]] = {
    "wordllama": WordLlamaEmbedder,
    "quality": lambda: EncoderEmbedder("quality", quality()),
    "multilingual": lambda: EncoderEmbedder("multilingual", UniversalEncoder()),
}
