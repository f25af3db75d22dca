"""A dataset version to a Hub repository or an object store, as it lies: the copy is byte for byte the local folder.

A push that was interrupted is begun again by the same command: what has arrived whole is not sent twice. Go on to
`flows/store.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flows.curate.folder.disk import check
from flows.curate.salt import refuse_public
from flows.store import store_at
from flows.versions import Version
from schemas.errors import FlywheelError, UsageError


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
    try:
        store = store_at(target, options)
    except UsageError as error:
        raise UsageError(f"{error}, or hf://datasets/OWNER/NAME") from error
    store.send_folder(folder, version.version)
    return f"{store.url}/{version.version}"


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
