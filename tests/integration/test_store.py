"""Two homes with one lake and one store: what one of them builds the other has, and what one forgets the other too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.curate.folder.disk import check
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.curate.versions.lost import lose
from flows.curate.versions.stored import even_out, send_made
from flows.curate.versions.trace import trace
from flows.evaluate.items import of_version, read_items
from flows.store import file_sha256
from flows.testing.world import AS_OF
from flows.versions import find, versions
from schemas.errors import FilesMissing, FlywheelError
from schemas.secrets import Secret
from tests.support.stores import TwoHomes, contents, environment

pytestmark = pytest.mark.integration
LATER = AS_OF + timedelta(hours=1)
KILLED = """
import os, sys
from datetime import datetime
from flows import store
from flows.context import lake_of, settings_from_environment
from flows.curate import stage

def kill(*_):
    os.kill(os.getpid(), 9)

sent, real = [], store.Store.send
def send(self, path, name):
    sent.append(name)
    kill() if len(sent) == int(sys.argv[1]) else real(self, path, name)

store.Store.send, stage.record = send, kill
settings = settings_from_environment()
stage.curate(lake_of(settings), settings, datetime.fromisoformat(sys.argv[2]))
"""
"""A build that is killed when it sends its n-th file, or when it has sent all and records the first row."""


@pytest.fixture(params=["file", "s3"])
def homes(request: pytest.FixtureRequest, tmp_path: Path) -> TwoHomes:
    """Nothing is built."""
    return TwoHomes.of(request, tmp_path)


@pytest.fixture
def built(homes: TwoHomes) -> TwoHomes:
    """A has built."""
    return homes.build()


def hidden(home: str) -> list[Path]:
    return list(Path(home).rglob(".building-*"))


def test_what_one_machine_builds_another_reads(built: TwoHomes) -> None:
    """Byte for byte the same folder, brought once; items, traces and freezing go by it."""
    assert built.stored() == built.living()
    for one in versions(built.lake):
        assert one.files(built.b) == sorted((one.folder(built.b) / "data").glob("*.parquet"))
        assert contents(one.folder(built.b)) == contents(one.folder(built.a))
        check(one.folder(built.b))
    assert hidden(built.b.home) == []

    frozen = built.version("frozen")
    shutil.rmtree(frozen.folder(built.b))
    items = read_items(of_version(frozen, built.b).folder, frozen.manifest["files"])
    assert {f"holdout@{frozen.version}", f"all@{frozen.version}"} <= {
        f"{found['dataset']}@{found['version']}" for found in trace(built.lake, built.b, items[0].item_id)["found_in"]
    }
    assert freeze(built.lake, built.b, LATER, "second", "all").version == frozen.version
    away = msgspec.structs.replace(built.b, store="s3://nobody/asks", storage_options={})
    assert frozen.files(away) == frozen.files(built.b), "what is here is asked of no store"


def test_a_command_brings_what_it_reads(built: TwoHomes) -> None:
    """`flywheel dataset show` on a machine that has nothing."""
    words = ["dataset", "show", built.version("training").version]

    said = CliRunner().invoke(app, words, env=environment(built.b))

    assert said.exit_code == 0, said.output
    assert "all files have their SHA-256" in said.output


def test_four_at_once_bring_the_same(built: TwoHomes) -> None:
    """Each has it whole."""
    one = built.version("training")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: one.files(built.b), range(4)))

    assert found == [one.files(built.b)] * 4
    assert contents(one.folder(built.b)) == contents(one.folder(built.a))


def test_a_part_that_is_lost_here_is_filled_in(built: TwoHomes) -> None:
    """Without touching what is here."""
    one = built.version("training")
    first, *rest = one.files(built.b)
    first.unlink()
    before = {path: path.stat().st_ino for path in rest}

    assert one.files(built.b) == [first, *rest]
    assert {path: path.stat().st_ino for path in rest} == before
    check(one.folder(built.b))


@pytest.mark.parametrize("at", [2, 10_000], ids=["while it sends", "when all is sent, and nothing recorded"])
def test_a_build_that_was_killed_is_begun_again_elsewhere(homes: TwoHomes, at: int, tmp_path: Path) -> None:
    """SIGKILL: nothing is listed; another machine builds the same versions, once, and the store holds no others."""
    words = [sys.executable, "-c", KILLED, str(at), AS_OF.isoformat()]
    child = subprocess.run(words, env=os.environ | environment(homes.a), check=False)
    assert child.returncode == -signal.SIGKILL
    assert versions(homes.lake) == []
    sent = homes.stored()
    assert sent

    summary = curate(homes.lake, homes.b, AS_OF)

    assert curate(homes.lake, homes.a, AS_OF) == summary
    assert sorted(v.kind for v in versions(homes.lake)) == ["eval", "sample", "training"]
    assert sent <= homes.stored()
    assert homes.stored() == homes.living()
    fresh = msgspec.structs.replace(homes.b, home=str(tmp_path / "c"))
    assert all(one.files(fresh) for one in versions(homes.lake) if any(one.rows.values()))


@pytest.mark.parametrize("content", [b"rot", None], ids=["damaged", "gone"])
def test_what_is_not_whole_in_the_store_is_missing(built: TwoHomes, content: bytes | None) -> None:
    """The message says where it was looked for and what to do; nothing of it is seen; built again it is whole."""
    one = built.version("training")
    built.put(f"datasets/{one.path}/{max(one.manifest['files'])}", content)

    with pytest.raises(FilesMissing) as raised:
        one.files(built.b)

    assert f"{built.b.store}/datasets/{one.path}" in str(raised.value)
    assert f"`flywheel dataset lost {one.version}`" in str(raised.value)
    assert not one.folder(built.b).exists()
    assert hidden(built.b.home) == []
    assert one.files(built.a), "who has it, has it"
    curate(built.lake, built.a, LATER)
    assert one.files(built.b)


def test_what_the_store_says_of_a_version_is_not_believed(built: TwoHomes) -> None:
    """A card that names data elsewhere, a manifest that lists other files: a reader sees what the lake has recorded."""
    one = built.version("training")
    root = f"datasets/{one.path}"
    built.put(f"{root}/README.md", b"---\nconfigs:\n- config_name: sft\n  data_files: https://evil.example/x\n---\n")
    built.put(f"{root}/manifest.json", b'{"files": {"../../../x": "00"}}')
    built.put(f"{root}/data/sft-train-00001-of-00001.parquet", b"more")

    one.files(built.b)

    assert contents(one.folder(built.b)) == contents(one.folder(built.a))


def test_a_store_that_is_away_is_not_an_empty_one(built: TwoHomes, tmp_path: Path) -> None:
    """Neither a read nor `dataset lost` takes what cannot be asked for what is gone."""
    one, s3 = built.version("training"), built.b.store.startswith("s3")
    there_is_none = "s3://no-such-bucket/x" if s3 else f"file://{tmp_path}/unmounted"
    away = msgspec.structs.replace(built.b, store=there_is_none)

    with pytest.raises(FlywheelError, match="cannot be read") as raised:
        one.files(away)
    assert not isinstance(raised.value, FilesMissing)
    with pytest.raises(FlywheelError, match="cannot be read"):
        lose(built.lake, away, LATER, one.version)
    assert find(built.lake, "support-bot", one.version).status == "current"
    keys = {"AWS_ACCESS_KEY_ID": Secret("a"), "AWS_SECRET_ACCESS_KEY": Secret("b"), "AWS_REGION": Secret("us-east-1")}
    keys |= {"AWS_ENDPOINT_URL": Secret("http://127.0.0.1:9")}
    with pytest.raises(FlywheelError, match="storage_options"):
        one.files(msgspec.structs.replace(built.b, store="s3://b/x", storage_options=keys))


def test_versions_from_before_there_was_a_store_come_into_it(built: TwoHomes) -> None:
    """The next build sends what is here, unless it is not as it was recorded."""
    a, built.b = (msgspec.structs.replace(one, store=f"{one.store}/second") for one in (built.a, built.b))
    training = built.version("training")
    rotten = training.files(a)[0]
    kept = rotten.read_bytes()
    rotten.write_bytes(kept[:-4] + b"rot!")

    even_out(a, versions(built.lake))
    assert built.stored() == built.living() - {training.path}
    rotten.write_bytes(kept)
    curate(built.lake, a, LATER)

    assert built.stored() == built.living()
    assert all(one.files(built.b) for one in versions(built.lake) if any(one.rows.values()))


def test_a_home_that_holds_it_sends_what_the_store_has_lost(built: TwoHomes) -> None:
    """With its next build, whatever that makes; a file that nobody lost is not sent again."""
    one = built.version("frozen")
    name = f"datasets/{one.path}/{max(one.manifest['files'])}"
    built.put(name, None)
    with pytest.raises(FilesMissing, match="a build in a home that holds it sends"):
        one.files(built.b)

    even_out(built.b, versions(built.lake))
    assert name not in built.store.files("datasets"), "B does not hold it"
    even_out(built.a, versions(built.lake))

    assert one.files(built.b)


def test_rows_that_were_recorded_in_other_bytes_keep_these(built: TwoHomes) -> None:
    """Another machine writes Parquet otherwise: what it makes of the same rows gives way to what the lake has."""
    one = built.version("training")
    mine = one.files(built.b)[0]
    pq.write_table(pq.read_table(mine), mine, compression="gzip")
    told = {**one.manifest, "files": {**one.manifest["files"], f"data/{mine.name}": file_sha256(mine)}}
    made = msgspec.structs.replace(one, manifest=told)

    assert send_made(built.lake, built.b, [made])[0].manifest["files"] == one.manifest["files"]

    assert contents(one.folder(built.b)) == contents(one.folder(built.a))
    built.put(f"datasets/{one.path}/data/{mine.name}", None)
    pq.write_table(pq.read_table(mine), mine, compression="gzip")
    assert send_made(built.lake, built.b, [made]) == [made], "the store has lost the others"
    assert made.files(msgspec.structs.replace(built.b, home=f"{built.b.home}-2"))
