"""Two homes with one lake and one store: a folder on a shared disk, or a prefix of a bucket on a real S3 server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.store import Store, store_of
from flows.testing.events import feedback
from flows.testing.world import AS_OF, World
from flows.versions import Version, versions
from schemas.secrets import Secret
from schemas.settings import Settings
from tests.support.examples import questions
from tests.support.s3 import S3

SECRET = "the secret of user-3"


class TwoHomes:
    """Home A, where forty people asked and one of them was corrected, and home B, on another machine."""

    def __init__(self, folder: Path, **store: Any) -> None:
        self.world = World(folder / "a")
        self.lake = self.world.lake
        self.a = msgspec.structs.replace(self.world.settings, lake=self.lake.root, **store)
        self.b = msgspec.structs.replace(self.a, home=str(folder / "b"))
        events = questions(self.world, 40)
        self.world.happened(feedback(1, events[3], "correction", text=SECRET))
        self.world.judged({event.id: "ok" for event in events})

    @classmethod
    def of(cls, request: pytest.FixtureRequest, folder: Path) -> TwoHomes:
        """With the kind of store that a fixture is asked for: `file` or `s3`."""
        if request.param == "file":
            return cls(folder, store=(folder / "shared").as_uri())
        s3: S3 = request.getfixturevalue("s3")
        keys = {name: Secret(value) for name, value in s3.options.items()}
        return cls(folder, store=f"s3://{s3.bucket()}/team/wheel", storage_options=keys)

    def build(self) -> TwoHomes:
        """In A a training set, an eval set that is frozen as `holdout`, and a sample."""
        curate(self.lake, self.a, AS_OF)
        freeze(self.lake, self.a, AS_OF, "holdout", "all")
        return self

    def version(self, kind: str) -> Version:
        """The newest of a kind."""
        return next(v for v in reversed(versions(self.lake)) if v.kind == kind)

    def living(self) -> set[str]:
        """The paths of what is not withdrawn."""
        return {v.path for v in versions(self.lake) if v.status != "withdrawn"}

    @property
    def store(self) -> Store:
        """The store of both."""
        store = store_of(self.b)
        assert store is not None
        return store

    def stored(self) -> set[str]:
        """What lies in the store: application/version."""
        return {"/".join(name.split("/")[1:3]) for name in self.store.files("datasets")}

    def put(self, name: str, content: bytes | None) -> None:
        """Somebody who can write to the store changes a file, or removes it."""
        store = self.store
        if content is None:
            store.system.delete_file(f"{store.root}/{name}")
            return
        if store.url.startswith("file"):
            Path(f"{store.root}/{name}").parent.mkdir(parents=True, exist_ok=True)
        with store.system.open_output_stream(f"{store.root}/{name}") as sink:
            sink.write(content)

    def said(self, scratch: Path) -> str:
        """All that can be read in the store."""
        found = []
        for name in self.store.files("datasets"):
            assert self.store.bring(name, scratch)
            found.append(str(pq.read_table(scratch).to_pylist()) if name.endswith("parquet") else scratch.read_text())
        return "\n".join(found)


def environment(settings: Settings) -> dict[str, str]:
    """The settings of a home as a child process is told them."""
    options = {name: value.reveal() for name, value in settings.storage_options.items()}
    return {
        "FLYWHEEL_HOME": settings.home, "FLYWHEEL_LAKE": settings.lake, "FLYWHEEL_STORE": settings.store,
        "FLYWHEEL_STORAGE_OPTIONS": json.dumps(options), "FLYWHEEL_CURATE_PARAPHRASE": "1",
        "FLYWHEEL_CURATE_HOLD_BACK": "0", "FLYWHEEL_CURATE_SALT": settings.curate.salt.reveal(),
    }  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
