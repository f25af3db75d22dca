"""A dataset version to a Hub repository or an object store, as it lies: the copy is byte for byte the local folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyarrow import fs

from flows.curate.folder import check
from flows.curate.versions import Version
from schemas.errors import FlywheelError, UsageError

LAST = ("croissant.json", "README.md", "manifest.json")
"""Written after the data, the manifest last of all: a reader who sees it sees the whole version."""


def push(version: Version, folder: Path, target: str, options: Mapping[str, str]) -> str:
    """Copy a version to `hf://datasets/OWNER/NAME`, `s3://BUCKET/PREFIX` or `file:///FOLDER`; returns where it lies.

    On the Hub the version is a tag. `options` are the lake's storage options. Raises UsageError for a withdrawn version
    or an unknown target, FlywheelError where a local file is damaged or the target refuses.
    """
    if version.status == "withdrawn":
        raise UsageError(f"{version.dataset}@{version.version} was withdrawn ({version.status_reason}): build it again")
    check(folder)
    if target.startswith("hf://datasets/"):
        return _to_hub(version, folder, target.removeprefix("hf://datasets/").strip("/"))
    if target.startswith(("s3://", "file://")):
        return _to_store(version, folder, target.rstrip("/"), options)
    raise UsageError(f"{target!r}: push to hf://datasets/OWNER/NAME, s3://BUCKET/PREFIX or file:///FOLDER")


def _to_hub(version: Version, folder: Path, repository: str) -> str:
    import huggingface_hub  # noqa: PLC0415 lazy: 1 s of import

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
    except (huggingface_hub.errors.HfHubHTTPError, OSError, ValueError) as error:
        raise FlywheelError(
            f"the Hub refused {repository!r}: {error}. `hf auth login` or HF_TOKEN gives access"
        ) from error
    return f"hf://datasets/{repository}@{version.version}"


def _to_store(version: Version, folder: Path, target: str, options: Mapping[str, str]) -> str:
    place = f"{target}/{version.version}"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    try:
        store, root = _store(place, options)
        for path in sorted(files, key=lambda path: (LAST.index(path.name) + 1 if path.name in LAST else 0, path)):
            name = f"{root}/{path.relative_to(folder).as_posix()}"
            store.create_dir(name.rpartition("/")[0], recursive=True)
            with path.open("rb") as source, store.open_output_stream(name) as sink:
                while chunk := source.read(2**22):
                    sink.write(chunk)
    except OSError as error:
        raise FlywheelError(f"{place} cannot be written: {error}") from error
    return place


def _store(place: str, options: Mapping[str, str]) -> tuple[fs.FileSystem, str]:
    """The file system of a URL, with the lake's own credentials where it names them."""
    if place.startswith("file://"):
        return fs.LocalFileSystem(), place.removeprefix("file://")
    known = {key.lower().removeprefix("aws_"): value for key, value in options.items()}
    names = {"access_key_id": "access_key", "secret_access_key": "secret_key", "session_token": "session_token"}
    names |= {"region": "region", "endpoint_url": "endpoint_override", "endpoint": "endpoint_override"}
    return fs.S3FileSystem(**{names[key]: value for key, value in known.items() if key in names}), place[5:]
