"""A dataset version to a Hub repository or an object store, as it lies: the copy is byte for byte the local folder.

A push that was interrupted is begun again by the same command: what has arrived whole is not sent twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pyarrow import fs

from flows.curate.folder.folder import check
from flows.curate.folder.shards import file_sha256
from flows.curate.salt import refuse_public
from flows.versions import Version
from schemas.errors import FlywheelError, UsageError

LAST = ("croissant.json", "README.md", "manifest.json")
"""Written after the data, the manifest last of all: a reader who sees it sees the whole version."""
CHUNK = 2**22
"""Bytes in memory at a time."""


def push(version: Version, folder: Path, target: str, options: Mapping[str, str]) -> str:
    """Copy a version to `hf://datasets/OWNER/NAME`, `s3://BUCKET/PREFIX` or `file:///FOLDER`; returns where it lies.

    On the Hub the version is a tag. `options` are the lake's storage options. Raises UsageError for a withdrawn version
    or an unknown target, FlywheelError where a local file is damaged or the target refuses.
    """
    if version.status == "withdrawn":
        raise UsageError(f"{version.dataset}@{version.version} was withdrawn ({version.status_reason}): build it again")
    refuse_public(version)
    check(folder)
    if target.startswith("hf://datasets/"):
        return _to_hub(version, folder, target.removeprefix("hf://datasets/").strip("/"))
    if target.startswith(("s3://", "file:///")) and target.rstrip("/").partition("://")[2]:
        return _to_store(version, folder, target.rstrip("/"), options)
    raise UsageError(f"{target!r}: push to hf://datasets/OWNER/NAME, s3://BUCKET/PREFIX or file:///FOLDER")


def _to_hub(version: Version, folder: Path, repository: str) -> str:
    """One commit, which shows all files or none; content that the Hub holds already is not sent."""
    import httpx  # noqa: PLC0415 lazy, as the next
    import huggingface_hub  # noqa: PLC0415 lazy: 1 s of import

    if repository.count("/") != 1:
        raise UsageError(f"hf://datasets/{repository} names no repository: write hf://datasets/OWNER/NAME")
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            delete_patterns="*",
            commit_message=f"{version.dataset} {version.version}",
        )
        api.create_tag(repository, repo_type="dataset", tag=version.version, exist_ok=True)
    except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
        raise FlywheelError(_why(repository, error)) from error
    return f"hf://datasets/{repository}@{version.version}"


def _why(repository: str, error: Exception) -> str:
    """What went wrong on the Hub, and what to do about it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403} or type(error).__name__ == "LocalTokenNotFoundError":
        return (
            f"the Hub does not let you write to {repository!r}: log in with `hf auth login`, "
            f"or set HF_TOKEN to a token with write access. It said: {error}"
        )
    cause = f": {error.__cause__}" if error.__cause__ else ""
    return (
        f"{repository!r} on the Hub could not be written: {error}{cause}. "
        "Nothing of this version is visible there; push again, and what has arrived is not sent twice"
    )


def _to_store(version: Version, folder: Path, target: str, options: Mapping[str, str]) -> str:
    place = f"{target}/{version.version}"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    try:
        store, root = _store(place, options)
        for path in sorted(files, key=lambda path: (LAST.index(path.name) + 1 if path.name in LAST else 0, path)):
            _send(store, path, f"{root}/{path.relative_to(folder).as_posix()}")
    except OSError as error:
        raise FlywheelError(
            f"{place} cannot be written: {error}. Credentials come from `storage_options` in the settings, "
            "else from the AWS environment; push again, and what has arrived is not sent twice"
        ) from error
    return place


def _send(store: fs.FileSystem, path: Path, name: str) -> None:
    """Copy a file, unless its bytes are there already."""
    there = store.get_file_info(name)
    if there.is_file and there.size == path.stat().st_size and _sha256(store, name) == file_sha256(path):
        return
    store.create_dir(name.rpartition("/")[0], recursive=True)
    with path.open("rb") as source, store.open_output_stream(name) as sink:
        while chunk := source.read(CHUNK):
            sink.write(chunk)


def _sha256(store: fs.FileSystem, name: str) -> str:
    with store.open_input_stream(name, buffer_size=CHUNK) as source:  # a request for each, not for each 256 KiB
        return hashlib.file_digest(source, "sha256").hexdigest()


def _store(place: str, options: Mapping[str, str]) -> tuple[fs.FileSystem, str]:
    """The file system of a URL, with the lake's own credentials where it names them."""
    if place.startswith("file://"):
        return fs.LocalFileSystem(), place.removeprefix("file://")
    known = {key.lower().removeprefix("aws_"): value for key, value in options.items()}
    names = {"access_key_id": "access_key", "secret_access_key": "secret_key", "session_token": "session_token"}
    names |= {"region": "region", "endpoint_url": "endpoint_override", "endpoint": "endpoint_override"}
    return fs.S3FileSystem(**{names[key]: value for key, value in known.items() if key in names}), place[5:]
