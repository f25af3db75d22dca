"""`flywheel dataset push` to an object store and to a Hub: whole or invisible, and begun again where it broke off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.curate.stage import curate
from flows.testing.events import feedback
from flows.testing.world import AS_OF, World
from tests.support.examples import questions
from tests.support.hub import TOKEN, Hub, running
from tests.support.s3 import S3
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a dataset `all` of several files."""
    world = World(tmp_path / "home", eval_share=0)
    events = questions(world, 12)
    world.happened(*[feedback(n, e, "correction", text=f"better {n}") for n, e in enumerate(events)])
    world.judged({event.id: "failed" for event in events})
    curate(world.lake, world.settings, AS_OF)
    return world


@pytest.fixture
def folder(world: World) -> Path:
    """Where the training version lies."""
    return next(path.parents[1] for path in world.settings.datasets_path.rglob("sft-*.parquet"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub of our own."""
    with running() as hub:
        yield hub


def pushing(world: World, target: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.cli", "--home", str(world.settings.home_path), "dataset", "push"]
    scratch = {"HF_HOME": str(world.settings.home_path / "hf"), "HF_TOKEN": "", "FLYWHEEL_STORAGE_OPTIONS": "{}"}
    return subprocess.Popen(
        [*command, "all", target], env={**os.environ, **scratch, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def pushed(world: World, target: str, **environment: str) -> tuple[int, str]:
    """Exit code, and what it said."""
    with pushing(world, target, **environment) as child:
        said = "\n".join(child.communicate(timeout=120))
    return child.returncode, said


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_on_the_hub_is_the_folder_at_a_tag(world: World, folder: Path, hub: Hub) -> None:
    """One commit with every file, byte for byte; pushed again it changes nothing and sends nothing."""
    for _ in range(2):
        code, said = pushed(world, "hf://datasets/team/refunds", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
        assert code == 0, said

    assert hub.files("team/refunds") == contents(folder)
    assert hub.tags["team/refunds"] == {folder.name: 1}
    assert len(hub.uploads) == len(list(folder.rglob("*.parquet"))) == 4


def test_an_upload_to_the_hub_that_was_killed_is_resumed(world: World, folder: Path, hub: Hub) -> None:
    """Kill -9 in the middle: the repository shows nothing of it; the next push sends only what had not arrived."""
    hub.accepts = 1
    child = pushing(world, "hf://datasets/team/refunds", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    eventually(lambda: hub.uploads and hub.hanging)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    arrived = list(hub.uploads)
    assert hub.files("team/refunds") == {}
    hub.accepts = None

    code, said = pushed(world, "hf://datasets/team/refunds", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)

    assert code == 0, said
    assert hub.files("team/refunds") == contents(folder)
    assert len(arrived) == 1
    assert sorted(hub.uploads) == sorted(set(hub.uploads)), "nothing was sent twice"


@pytest.mark.parametrize("token", ["", "hf_somebody-elses"])
def test_a_wrong_token_is_named(world: World, hub: Hub, token: str) -> None:
    """The message says what to do; nothing is created."""
    code, said = pushed(world, "hf://datasets/team/refunds", HF_ENDPOINT=hub.url, HF_TOKEN=token)

    assert code != 0
    assert "hf auth login" in said
    assert "HF_TOKEN" in said
    assert "Traceback" not in said
    assert hub.repositories == {}


def test_a_hub_that_is_away_is_named(world: World) -> None:
    """No traceback, and the way on."""
    code, said = pushed(world, "hf://datasets/team/refunds", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN=TOKEN)

    assert code != 0
    assert "push again" in said
    assert "Traceback" not in said


def test_an_upload_to_s3_that_broke_off_is_resumed(world: World, folder: Path, s3: S3) -> None:
    """What is there whole is not sent again, what is there in part is replaced; both leave one whole version."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    store = pytest.importorskip("boto3").client("s3", endpoint_url=s3.url, **keys)
    store.create_bucket(Bucket="sets")
    store.put_bucket_versioning(Bucket="sets", VersioningConfiguration={"Status": "Enabled"})
    whole, part, *_ = sorted(path.name for path in (folder / "data").iterdir())
    for name, size in ((whole, None), (part, 100)):
        content = (folder / "data" / name).read_bytes()[:size]
        store.put_object(Bucket="sets", Key=f"bot/{folder.name}/data/{name}", Body=content)

    code, said = pushed(world, "s3://sets/bot", FLYWHEEL_STORAGE_OPTIONS=json.dumps(s3.options))

    assert code == 0, said
    for name, content in contents(folder).items():
        assert store.get_object(Bucket="sets", Key=f"bot/{folder.name}/{name}")["Body"].read() == content
    sent = [version["Key"].rpartition("/")[2] for version in store.list_object_versions(Bucket="sets")["Versions"]]
    assert (sent.count(whole), sent.count(part)) == (1, 2)


def test_a_bucket_that_is_not_there_is_named(world: World, s3: S3) -> None:
    """No traceback; where the credentials come from."""
    code, said = pushed(world, "s3://nowhere-at-all/sets", FLYWHEEL_STORAGE_OPTIONS=json.dumps(s3.options))

    assert code != 0
    assert "s3://nowhere-at-all/sets" in said
    assert "storage_options" in said
    assert "Traceback" not in said
