"""Kafka's jars are the pinned ones or none."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from pathlib import Path

import pytest

from schemas.errors import DownloadFailed, JarMismatch
from streams.broker.jars import Jar, check, fetch_with_jgo, fetch_with_maven, fill, folder_in, kafka_jars, read_lock


def jar(name: str) -> Jar:
    """A jar whose content is its name."""
    return Jar("org.example", name, "1.0", hashlib.sha256(name.encode()).hexdigest())


JARS = (jar("kafka_2.13"), jar("lz4"))


def serve(jars: tuple[Jar, ...], into: Path) -> None:
    """A repository that has what is asked for."""
    for each in jars:
        (into / each.file).write_text(each.artifact)


def unreachable(_jars: tuple[Jar, ...], into: Path) -> None:
    """A repository whose connection breaks after the first half."""
    (into / "half.jar").write_text("half")
    raise OSError("network is unreachable")


def forge(jars: tuple[Jar, ...], into: Path) -> None:
    """A repository that serves something else."""
    serve(jars, into)
    (into / jars[1].file).write_text("something else")


def test_every_jar_is_pinned() -> None:
    """One row a jar, each with coordinates and a whole SHA-256, none twice."""
    jars = read_lock()

    assert all(re.fullmatch("[0-9a-f]{64}", each.sha256) for each in jars)
    assert len({each.file for each in jars}) == len(jars) > 40
    assert {"kafka-clients", "log4j-core", "log4j-slf4j-impl"} <= {each.artifact for each in jars}


def test_another_lock_is_another_folder() -> None:
    """Jars of one lock never meet those of another, even under the same Kafka version."""
    folders = {folder_in(Path("cache"), jars) for jars in (JARS, (JARS[0], jar("lz5")))}

    assert len(folders) == 2
    assert all(folder.name.startswith("kafka-1.0-") for folder in folders)


def test_the_second_way_is_tried_where_the_first_fails(tmp_path: Path) -> None:
    """What the first way left half-done is not kept."""
    fill(tmp_path / "jars", JARS, (unreachable, serve))

    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == ["kafka_2.13-1.0.jar", "lz4-1.0.jar"]
    assert [path.name for path in tmp_path.iterdir()] == ["jars"]


def test_no_way_to_fetch_is_a_clear_error(tmp_path: Path) -> None:
    """The message tells what each way said, and what a person without a network can do."""
    with pytest.raises(DownloadFailed, match=r"unreachable: network is unreachable.*copy \S+jars from a machine"):
        fill(tmp_path / "jars", JARS, (unreachable,))

    assert list(tmp_path.iterdir()) == []


def test_a_forged_jar_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing of a fetch with a wrong jar is kept, and the next way is not asked to cover it up."""
    with pytest.raises(JarMismatch, match=r"lz4-1.0.jar is not the pinned org.example:lz4:1.0"):
        fill(tmp_path / "jars", JARS, (forge, serve))

    assert list(tmp_path.iterdir()) == []


def test_two_fetches_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    """Both succeed; the slower one's files are dropped."""
    both_fetched = threading.Barrier(2)

    def slow(jars: tuple[Jar, ...], into: Path) -> None:
        serve(jars, into)
        both_fetched.wait(30)

    threads = [threading.Thread(target=fill, args=(tmp_path / "jars", JARS, (slow,))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    check(tmp_path / "jars", JARS)
    assert [path.name for path in tmp_path.iterdir()] == ["jars"]


def test_a_damaged_cache_is_refused_by_name(tmp_path: Path) -> None:
    """Each start checks the jars: flipped bytes, a missing jar and a stranger on the classpath are all refused."""
    serve(JARS, tmp_path)
    check(tmp_path, JARS)

    (tmp_path / "evil.jar").touch()
    with pytest.raises(JarMismatch, match=r"evil.jar is not one of"):
        check(tmp_path, JARS)
    (tmp_path / "evil.jar").unlink()
    (tmp_path / "lz4-1.0.jar").unlink()
    with pytest.raises(JarMismatch, match=r"lz4-1.0.jar .* found missing"):
        check(tmp_path, JARS)


def test_a_cached_folder_is_not_fetched_again(tmp_path: Path) -> None:
    """A folder in the cache is checked, not replaced: here its emptiness is the error."""
    folder_in(tmp_path, read_lock()).mkdir(parents=True)

    with pytest.raises(JarMismatch, match=r"found missing"):
        kafka_jars(tmp_path)


def test_an_unreachable_repository_fails_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real way to fetch gives up as a whole when a jar cannot be had."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"ProxyError|proxy"):
        fetch_with_jgo(read_lock(), tmp_path)


@pytest.mark.skipif(shutil.which("mvn") is None, reason="Maven is not installed")
@pytest.mark.integration
def test_maven_brings_the_same_jars(tmp_path: Path) -> None:
    """Where jgo cannot go (a mirror, a password), the machine's Maven brings exactly the pinned jars."""
    fill(tmp_path / "jars", read_lock(), (fetch_with_maven,))
