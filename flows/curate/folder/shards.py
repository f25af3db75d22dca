"""Files of a config: where one ends and the next begins, and one that an earlier version has already, linked.

A border depends on the rows about it alone, not on how many come before: a row that comes, goes or changes makes its
own file new, and all others stay as they are, byte for byte. So the same rows are the same files whatever was built
before, and a file whose rows another version has is linked from there once its SHA-256 has been checked. Nothing writes
into a file that is visible, and a link is as good as a copy: a version that is removed takes no other's rows along.

A config of one file, which most are, is always written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from flows.curate.folder.shapes import Kind, content_of, to_arrow
from flows.store import file_sha256
from schemas.events import to_json
from schemas.records import Example

CODE = hashlib.sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in ("shapes.py", "shards.py")))
WRITER = [CODE.hexdigest(), pa.__version__, msgspec.__version__]
"""How rows become columns, and columns a file: what another version of this has written is not taken."""
NEWEST = 64
"""Versions whose files are looked for, the newest: a turn makes two a recipe, and their manifests are read in 35 ms."""
ROW = 256
"""Characters that a row has beside its chats: ids, names and numbers, which hardly compress."""
_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": [
        "origin", "unit", "cluster_id", "slice", "model", "prompt_version", "source", "guard", "category", "judged_by",
    ],
}  # fmt: skip


class Sizes(Struct, frozen=True):
    """How much a file holds, in characters of chats as JSON; some seven are a byte on disk (`benchmarks/shards.py`)."""

    least: int = 64 * 2**20
    """No file but the last has less: some 9 MB. A config of less, fifty thousand chats of 1 KB, is one file."""
    more: int = 64 * 2**20
    """On average as much again comes before the next border, some 18 MB in all: a million chats are nine files. With
    twice the size a row that comes costs twice as much; with half of it a reader opens twice as many."""
    most: int = 384 * 2**20
    """No file has more: some 50 MB. Seven borders in a thousand are set by it."""
    group: int = 10_000
    """Rows a row group, and rows in memory at a time: smaller groups compress worse."""


SIZES = Sizes()


class Shard(Struct, frozen=True):
    """One of several files of a config, as the manifest records it."""

    begins: str
    """SHA-256 over how it is written and what its first rows say: where that is another, no more need be looked at."""
    content: str
    """SHA-256 over what its rows say, which no writer changes."""
    sha256: str
    """Of the file's bytes."""


class Part(Struct, frozen=True):
    """A config and its split: what its rows are made by."""

    kind: Kind
    split: str
    schema: pa.Schema

    def how(self, sizes: Sizes) -> bytes:
        """All that decides the bytes of a file beside its rows."""
        by = [WRITER, _OPTIONS, sizes.group, self.kind.name, self.split]
        schema: bytes = self.schema.serialize().to_pybytes()
        return to_json(by).encode() + schema


class Written(Struct, frozen=True):
    """A config on disk."""

    rows: int
    files: dict[str, str]
    """File → SHA-256 of its bytes."""
    shards: dict[str, Shard]
    """Files of a config of several."""


class Shelf:
    """The files that versions below a root have, by how they begin; looked for when one is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._files)

    def beginning(self, begins: str) -> list[tuple[Path, Shard]]:
        """Files that begin so."""
        return self._files.get(begins, [])

    @cached_property
    def _files(self) -> dict[str, list[tuple[Path, Shard]]]:
        found: dict[str, list[tuple[Path, Shard]]] = {}
        for path in sorted(self._root.glob("[!.]*/manifest.json"), key=_age)[:NEWEST]:
            for name, shard in _shards_of(path).items():
                found.setdefault(shard.begins, []).append((path.parent / "data" / Path(name).name, shard))
        return found


def write_part(data: Path, part: Part, examples: Sequence[Example], digest: Any, shelf: Shelf, sizes: Sizes) -> Written:
    """Write the files of a config, or take them from the shelf; `digest` is fed with what the rows say."""
    ends = borders(examples, sizes)
    rows, files, shards = 0, {}, {}
    for number, (start, end) in enumerate(pairwise([0, *ends])):
        path = data / f"{part.kind.name}-{part.split}-{number:05d}-of-{len(ends):05d}.parquet"
        mine = examples[start:end]
        if len(ends) == 1:
            for content in _encoded(path, part, mine, sizes):
                digest.update(content)
            files[path.name] = file_sha256(path)
        else:
            shard = _taken(path, part, mine, shelf, sizes) or _made(path, part, mine, sizes)
            digest.update(f"{part.kind.name}/{part.split}\n{shard.content}".encode())
            files[path.name], shards[path.name] = shard.sha256, shard
        rows += pq.read_metadata(path).num_rows
    return Written(rows, files, shards)


def borders(examples: Iterable[Example], sizes: Sizes = SIZES) -> list[int]:
    """Where each file ends, the last with all.

    A file that holds `least` ends before a row with a chance of the row's size in `more`, by a hash of its ids: borders
    are the rows' own, and two sequences that share some rows soon share their borders.
    """
    ends, held, count = [], 0, 0
    for example in examples:
        size = ROW + len(example.prompt) + len(example.answer) + len(example.rejected or "")
        if held >= sizes.least and (held + size > sizes.most or _drawn(example) < size / sizes.more):
            ends.append(count)
            held = 0
        held += size
        count += 1
    return [*ends, count]


def _drawn(example: Example) -> float:
    """A number from 0 to 1 that is the row's own."""
    ids = f"{example.interaction_id} {example.feedback_id or ''}".encode()
    return int.from_bytes(hashlib.blake2b(ids, digest_size=8).digest()) / 2**64


def _made(path: Path, part: Part, examples: Sequence[Example], sizes: Sizes) -> Shard:
    begins, content = _digests(part.how(sizes), _encoded(path, part, examples, sizes))
    return Shard(begins, content, file_sha256(path))


def _taken(path: Path, part: Part, examples: Sequence[Example], shelf: Shelf, sizes: Sizes) -> Shard | None:
    """The file of the same rows that a version has, at `path` too; None where none has one that is whole."""
    if not shelf:
        return None
    how, contents = part.how(sizes), (_content(part, some) for some in _groups(examples, sizes))
    first = next(contents)
    known = shelf.beginning(_digests(how, [first])[0])
    if not known:
        return None
    _, content = _digests(how, chain([first], contents))
    same = ((source, shard) for source, shard in known if shard.content == content)
    return next((shard for source, shard in same if _link(source, path, shard.sha256)), None)


def _link(source: Path, path: Path, sha256: str) -> bool:
    """Whether the file is at `path` too now, whole as it was recorded; a copy where there can be no link."""
    try:
        try:
            os.link(source, path)
        except OSError:  # no links here, or too many; or its version is being withdrawn, and nor is there a copy
            shutil.copyfile(source, path)
        if file_sha256(path) == sha256:
            return True
    except OSError:
        pass
    path.unlink(missing_ok=True)
    return False


def _encoded(path: Path, part: Part, examples: Sequence[Example], sizes: Sizes) -> Iterator[bytes]:
    """Write a file, a group at a time; what each group says."""
    with pq.ParquetWriter(path, part.schema, **_OPTIONS) as file:
        for some in _groups(examples, sizes):
            table, content = to_arrow(part.kind, some, part.schema)
            file.write_table(table)
            yield _named(part, content)


def _content(part: Part, examples: Sequence[Example]) -> bytes:
    return _named(part, content_of(part.kind, examples, part.schema))


def _named(part: Part, content: bytes) -> bytes:
    return f"{part.kind.name}/{part.split}\n".encode() + content


def _groups(examples: Sequence[Example], sizes: Sizes) -> Iterator[list[Example]]:
    return (list(examples[start : start + sizes.group]) for start in range(0, len(examples), sizes.group))


def _digests(how: bytes, contents: Iterable[bytes]) -> tuple[str, str]:
    """How a file of these groups begins, and what all of it says."""
    begins, digest = "", hashlib.sha256()
    for content in contents:
        digest.update(content)
        begins = begins or hashlib.sha256(how + digest.digest()).hexdigest()
    return begins, digest.hexdigest()


class _Manifest(Struct):
    shards: dict[str, Shard] = {}


def _shards_of(manifest: Path) -> dict[str, Shard]:
    """What a version says of its files: nothing where it is of before that was said, or is not whole."""
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=_Manifest).shards
    except (OSError, msgspec.DecodeError):
        return {}


def _age(path: Path) -> tuple[int, str]:
    """Sorts the newest first; a version that is being removed last."""
    try:
        return -path.stat().st_mtime_ns, path.parent.name
    except OSError:
        return 0, path.parent.name
