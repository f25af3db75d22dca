"""Reports lie in the store too: there before they are seen here, and gone from every home after an erasure."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.catalogue.report import publish
from flows.cluster.stage import cluster
from flows.erase import carry_out
from flows.run import Finished, latest
from flows.testing.world import AS_OF
from schemas.settings import Settings
from tests.support.stores import TwoHomes, environment

pytestmark = pytest.mark.integration
LATER = AS_OF + timedelta(hours=1)


@pytest.fixture(params=["file", "s3"])
def homes(request: pytest.FixtureRequest, tmp_path: Path) -> TwoHomes:
    """A cluster run is finished."""
    homes = TwoHomes.of(request, tmp_path)
    cluster(homes.lake, homes.a, AS_OF)
    return homes


def newest(homes: TwoHomes) -> Finished:
    run = latest(homes.lake, "cluster", "support-bot")
    assert run is not None
    return run


def pages(settings: Settings) -> list[str]:
    return sorted(path.name for path in Path(settings.home).glob("reports/*"))


def test_a_report_is_in_the_store_and_goes_with_an_erasure(homes: TwoHomes, tmp_path: Path) -> None:
    """Written in A, removed by an erasure in B; A's copy goes when A writes its next one."""
    page, url = publish(homes.lake, newest(homes), homes.a)

    assert url == f"{homes.a.store}/reports/{page.name}"
    assert pages(homes.a) == [page.name]
    assert homes.store.bring(f"reports/{page.name}", tmp_path / "page")
    assert (tmp_path / "page").read_bytes() == page.read_bytes()
    carry_out(homes.lake, homes.b, "user-3", LATER)
    assert homes.store.files("reports") == []
    cluster(homes.lake, homes.a, LATER)
    second, _ = publish(homes.lake, newest(homes), homes.a)
    assert second.name != page.name
    assert pages(homes.a) == [second.name]
    assert homes.store.files("reports") == [f"reports/{second.name}"]


def test_the_command_publishes_what_it_writes_into_the_home(homes: TwoHomes, tmp_path: Path) -> None:
    """And sends nothing where a folder is named."""
    for words in (["--out", str(tmp_path / "mine")], []):
        assert homes.store.files("reports") == []
        said = CliRunner().invoke(app, ["cluster", "report", *words], env=environment(homes.b))
        assert said.exit_code == 0, said.output

    (name,) = pages(homes.b)
    assert homes.store.files("reports") == [f"reports/{name}"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]


def test_without_a_store_a_report_is_a_file(tmp_path: Path) -> None:
    """With its own address, and the older ones stay."""
    homes = TwoHomes(tmp_path)
    cluster(homes.lake, homes.a, AS_OF)
    alone = msgspec.structs.replace(homes.a, store="")
    (tmp_path / "a" / "reports").mkdir()
    (tmp_path / "a" / "reports" / "clusters-0.html").touch()

    page, url = publish(homes.lake, newest(homes), alone)

    assert url == page.as_uri()
    assert pages(alone) == sorted(["clusters-0.html", page.name])
