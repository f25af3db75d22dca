"""An erasure on one machine is one in the store, and on the machines that hold copies of what lies there."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from flows.curate import forget, stage
from flows.curate.stage import curate
from flows.curate.versions import withdraw
from flows.curate.versions.lost import lose
from flows.erase import carry_out
from flows.store import Store
from flows.testing.events import event_id
from flows.testing.world import AS_OF
from flows.versions import LOST, versions
from schemas.errors import FilesMissing
from schemas.events import Erasure
from schemas.settings import Settings
from streams.lake.query import rows
from tests.support.stores import SECRET, TwoHomes

pytestmark = pytest.mark.integration
LATER = AS_OF + timedelta(hours=1)
PERSON = "user-3"


@pytest.fixture(params=["file", "s3"])
def homes(request: pytest.FixtureRequest, tmp_path: Path) -> TwoHomes:
    """Nothing is built."""
    return TwoHomes.of(request, tmp_path)


class Broken(Exception):
    """The process ends here."""


def breaks(*_: Any, **__: Any) -> None:
    raise Broken


def broken_off(homes: TwoHomes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build in A that ended before it recorded what it had sent."""
    with monkeypatch.context() as patch:
        patch.setattr(stage, "record", breaks)
        with pytest.raises(Broken):
            curate(homes.lake, homes.a, AS_OF)


def holder(built: TwoHomes) -> str:
    """A person whose rows the frozen set holds."""
    held = pq.read_table(built.version("frozen").files(built.a)[0], columns=["interaction_id"]).to_pylist()
    return next(row["user_id"] for row in rows(built.lake, "interactions") if row["id"] == held[0]["interaction_id"])


def test_an_erasure_elsewhere_takes_the_person_out_of_the_store(homes: TwoHomes, tmp_path: Path) -> None:
    """Nothing there knows them; the copy in the home that built it goes with that home's next build."""
    homes.build()
    first = {v.path: v.folder(homes.a) for v in versions(homes.lake)}
    assert SECRET in homes.said(tmp_path / "scratch")

    receipt = carry_out(homes.lake, homes.b, PERSON, LATER)

    assert homes.stored() == homes.living()
    assert SECRET not in homes.said(tmp_path / "scratch")
    gone = first.keys() - homes.living()
    assert len(gone) == len({held["version"] for held in receipt["datasets"]}) > 0
    assert not any((Path(homes.b.home) / "datasets" / path).exists() for path in gone)
    assert all(first[path].is_dir() for path in gone), "A has not been asked yet"
    curate(homes.lake, homes.a, LATER + timedelta(hours=1))
    assert not any(first[path].exists() for path in gone)
    assert homes.stored() == homes.living()


@pytest.mark.parametrize(
    ("where", "what"),
    [(forget, "record"), (forget, "finish"), (forget, "clear"), (withdraw, "clear_stored"), (Store, "remove")],
    ids=["all is sent", "recorded", "finished", "gone here", "in the store"],
)
def test_an_erasure_that_broke_off_is_begun_again(
    homes: TwoHomes, where: Any, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever it was, also on another machine: the frozen set is replaced once, and the store holds what is listed."""
    person = holder(homes.build())
    with monkeypatch.context() as patch:
        patch.setattr(where, what, breaks)
        with pytest.raises(Broken):
            carry_out(homes.lake, homes.b, person, LATER)

    carry_out(homes.lake, homes.a, person, LATER + timedelta(minutes=1))

    assert homes.stored() == homes.living()
    frozen = [v for v in versions(homes.lake) if v.kind == "frozen" and v.status == "current"]
    assert len(frozen) == 1
    assert "replaces" in frozen[0].manifest
    assert frozen[0].files(homes.a)
    assert frozen[0].files(homes.b)


@pytest.mark.parametrize("wish", [False, True], ids=["by command", "by a wish"])
def test_what_no_version_names_is_found_in_the_store(
    homes: TwoHomes, wish: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A build broke off before it recorded what it had sent; half a file goes too, and what is not ours stays."""
    broken_off(homes, monkeypatch)
    sent = homes.stored()
    application = next(iter(sent)).partition("/")[0]
    homes.put(f"datasets/{application}/{'0' * 16}/data/.7-7-sft-train-00000-of-00001.parquet", b"PAR1 half")
    homes.put(f"datasets/{application}/{'1' * 16}/data/sft-train-00000-of-00001.parquet", b"PAR1 half")
    homes.put(f"datasets/{application}/notes/data/sft-train-00000-of-00001.parquet", b"somebody's own")

    if wish:
        homes.world.happened(Erasure(id=event_id(10**6), time=LATER, subject=PERSON))
        curate(homes.lake, homes.b, LATER)
    else:
        receipt = carry_out(homes.lake, homes.b, PERSON, LATER)
        assert set(receipt["unlisted"]) >= {"0" * 16, "1" * 16}

    assert f"{application}/notes" in homes.stored()
    homes.store.remove(f"datasets/{application}/notes")
    assert SECRET not in homes.said(tmp_path / "scratch")
    assert homes.stored().isdisjoint({f"{application}/{'0' * 16}", f"{application}/{'1' * 16}"})
    assert homes.stored() >= homes.living()


def test_what_a_broken_build_left_on_a_disk_goes_too(homes: TwoHomes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure elsewhere cannot see that disk: a day later the next build there removes what nobody names."""
    broken_off(homes, monkeypatch)
    left = [path.parent for path in Path(homes.a.home).glob("datasets/*/*/manifest.json")]
    assert len(left) == 3
    carry_out(homes.lake, homes.b, PERSON, LATER)
    theirs = [folder for folder in left if f"{folder.parent.name}/{folder.name}" not in homes.stored()]
    assert theirs

    curate(homes.lake, homes.a, LATER)
    assert all(folder.is_dir() for folder in left), "a build may be at work on it"
    for folder in left:
        os.utime(folder, (0, 0))
    curate(homes.lake, homes.a, LATER + timedelta(hours=1))

    assert not any(folder.exists() for folder in theirs)
    assert {
        f"{p.parent.parent.name}/{p.parent.name}" for p in Path(homes.a.home).glob("datasets/*/*/manifest.json")
    } >= (homes.living())


def test_what_is_lost_for_good_leaves_the_store_and_may_come_back(homes: TwoHomes) -> None:
    """Withdrawn in B, where it cannot be had; what is left of it goes; built anew it is the version again."""
    one = homes.build().version("training")
    homes.put(f"datasets/{one.path}/{max(one.manifest['files'])}", b"rot")
    with pytest.raises(FilesMissing):
        carry_out(homes.lake, homes.b, PERSON, LATER)

    assert [v.version for v in lose(homes.lake, homes.b, LATER, one.version)] == [one.version]

    assert one.path not in homes.stored()
    assert one.folder(homes.a).is_dir()
    assert homes.version("training").status_reason == LOST
    curate(homes.lake, homes.a, LATER + timedelta(hours=1))
    again = homes.version("training")
    assert (again.path, again.status) == (one.path, "current")
    assert homes.stored() == homes.living()
    assert again.files(msgspec.structs.replace(homes.b, home=f"{homes.b.home}-2"))


def test_without_a_store_none_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds, freezes, reads and erasures of a home alone."""
    homes = TwoHomes(tmp_path)
    monkeypatch.setattr(Store, "__init__", breaks)
    monkeypatch.setattr("flows.store.store_at", breaks)

    person = holder(homes.build())
    carry_out(homes.lake, homes.a, person, LATER)
    curate(homes.lake, homes.a, LATER)

    alone: Settings = homes.b
    with pytest.raises(FilesMissing) as raised:
        homes.version("training").files(alone)
    assert "nor as it was recorded" not in str(raised.value)
