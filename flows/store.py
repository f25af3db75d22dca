"""Files in a store that machines share: sent, brought, listed, removed. An object store, or a folder on a shared disk.

    <store>/datasets/<hash of the application>/<version>/…     as below the home
    <store>/reports/clusters-….html

What lies there is not believed: whoever brings a file says which SHA-256 it must have. Names are hashes and versions,
never a stranger's words. Go on to `curate/folder/brought.py`, `curate/versions/stored.py` and
`curate/versions/push.py`, which use it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

import pyarrow as pa
from msgspec import Struct
from pyarrow import fs

from schemas.errors import FlywheelError, UsageError
from schemas.secrets import revealed
from schemas.settings import Settings

DATASETS, REPORTS = "datasets", "reports"
"""Below the store as below the home."""
LAST = ("croissant.json", "README.md", "manifest.json")
"""Written after the data, the manifest last of all: a reader who sees it sees the whole version."""
CHUNK = 2**22
"""Bytes in memory at a time."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Store(Struct, frozen=True):
    """A place below which files lie by name. Every method raises FlywheelError where the store does not answer."""

    url: str
    """As a person writes it."""
    system: fs.FileSystem
    root: str

    def send(self, path: Path, name: str) -> None:
        """Copy a file there, unless its bytes are there already; a reader sees it whole or not at all."""
        with self._asked("written"):
            place = self._place(name)
            there = self.system.get_file_info(place)
            if there.is_file and there.size == path.stat().st_size and self._sha256(place) == file_sha256(path):
                return
            fresh = place
            if isinstance(self.system, fs.LocalFileSystem):  # an object is seen when it is whole, a file at once
                head, _, tail = place.rpartition("/")
                self.system.create_dir(head, recursive=True)
                fresh = f"{head}/.{os.getpid()}-{get_ident()}-{tail}"
            with path.open("rb") as source, self.system.open_output_stream(fresh) as sink:
                while chunk := source.read(CHUNK):
                    sink.write(chunk)
            if fresh != place:
                on_disk(Path(fresh))
                self.system.move(fresh, place)
                on_disk(Path(place).parent)

    def send_folder(self, folder: Path, name: str) -> None:
        """Copy a folder there, the files of LAST after all others: begun again, what has arrived is not sent twice."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in sorted(files, key=lambda path: (LAST.index(path.name) + 1 if path.name in LAST else 0, path)):
            self.send(path, f"{name}/{path.relative_to(folder).as_posix()}")

    def bring(self, name: str, to: Path, sha256: str | None = None) -> bool:
        """Copy a file here; False where it is not there, or has another SHA-256 than it must have."""
        with self._asked("read"):
            place = self._place(name)
            if not self.system.get_file_info(place).is_file:
                self._is_there()
                return False
            digest = hashlib.sha256()
            try:
                with self.system.open_input_stream(place, buffer_size=CHUNK) as source, to.open("wb") as sink:
                    while chunk := source.read(CHUNK):
                        digest.update(chunk)
                        sink.write(chunk)
            except FileNotFoundError:  # it has just gone
                return False
            return sha256 in {None, digest.hexdigest()}

    def files(self, below: str) -> list[str]:
        """The names of all files below a folder, in order; none where there is no such folder."""
        with self._asked("read"):
            found = self.system.get_file_info(fs.FileSelector(self._place(below), recursive=True, allow_not_found=True))
            return sorted(info.path.removeprefix(f"{self.root}/") for info in found if info.is_file)

    def remove(self, name: str) -> None:
        """Remove a folder, first what says that it is whole; nothing where it is not there."""
        with self._asked("written"):
            place = self._place(name)
            for gone, at in ((self.system.delete_file, f"{place}/{LAST[-1]}"), (self.system.delete_dir, place)):
                if self.system.get_file_info(at).type != fs.FileType.NotFound:
                    gone(at)

    def _place(self, name: str) -> str:
        if not plain(name):
            raise FlywheelError(f"{name[:200]!r} is no name of a file in {self.url}")
        return f"{self.root}/{name}"

    def _is_there(self) -> None:
        """Raise OSError unless the bucket or folder is: in one that is not there no file is, which says nothing."""
        top = self.root if isinstance(self.system, fs.LocalFileSystem) else self.root.partition("/")[0]
        if self.system.get_file_info(top).type == fs.FileType.NotFound:
            raise FileNotFoundError(f"there is no {top}")

    def _sha256(self, place: str) -> str:
        with self.system.open_input_stream(place, buffer_size=CHUNK) as source:  # a request for each, not for 256 KiB
            return hashlib.file_digest(source, "sha256").hexdigest()

    @contextmanager
    def _asked(self, how: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise FlywheelError(
                f"{self.url} cannot be {how}: {error}. Credentials come from `storage_options` in the settings, else "
                "from the AWS environment; begin again, and what has arrived is not sent twice"
            ) from error


def store_of(settings: Settings) -> Store | None:
    """The store that the settings name; None where they name none: then nothing is asked of any."""
    return store_at(settings.store, revealed(settings.storage_options)) if settings.store else None


def store_at(url: str, options: Mapping[str, str]) -> Store:
    """The store of a URL, with the lake's own credentials where it names them. Raises UsageError for another URL."""
    scheme, _, root = url.rstrip("/").partition("://")
    if scheme == "file" and root.startswith("/"):
        return Store(f"file://{root}", fs.LocalFileSystem(), root)
    if scheme != "s3" or not root:
        raise UsageError(f"{url!r} is no store: write s3://BUCKET/PREFIX or file:///FOLDER")
    known = {key.lower().removeprefix("aws_"): value for key, value in options.items()}
    names = {"access_key_id": "access_key", "secret_access_key": "secret_key", "session_token": "session_token"}
    names |= {"region": "region", "endpoint_url": "endpoint_override", "endpoint": "endpoint_override"}
    given = {names[key]: value for key, value in known.items() if key in names}
    return Store(f"s3://{root}", fs.S3FileSystem(**given), root)


def plain(name: str) -> bool:
    """Whether a name leads nowhere else, and is not hidden."""
    return all(map(_PLAIN.fullmatch, name.split("/")))


def on_disk(path: Path) -> None:
    """Return when a file, or a folder's list of files, is where a power cut leaves it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
