"""Kafka's jars: pinned by SHA-256, fetched once, kept in a cache of the user.

The lock, `kafka_jars.txt`, lists every jar, so nothing is resolved at run time. From here: `streams/broker/broker.py`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from schemas.errors import DownloadFailed, JarMismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK = Path(__file__).with_name("kafka_jars.txt")
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
ATTEMPTS = 3
"""Tries for each jar: a dropped connection among 46 downloads is ordinary."""
MAVEN_TIMEOUT_S = 600
"""44 MB at 100 kB/s take 440 s."""


@dataclass(frozen=True)
class Jar:
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    sha256: str
    """Lower-case hex of the whole file."""

    @property
    def file(self) -> str:
        """Its file name in any Maven repository."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinates(self) -> str:
        """Its name as Maven writes it."""
        return f"{self.group}:{self.artifact}:{self.version}"


class Fetch(Protocol):
    """Puts all the jars into an empty folder. Raises OSError, RuntimeError or SubprocessError; checks no sums."""

    __name__: str

    def __call__(self, jars: tuple[Jar, ...], into: Path, /) -> None:
        """Called once, before the next way is tried."""


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """The pinned jars, in the order of the lock file."""
    rows = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return tuple(_jar(*row) for row in rows)


def _jar(coordinates: str, sha256: str) -> Jar:
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)


def kafka_jars(cache: Path | None = None) -> Path:
    """The folder with exactly the pinned jars; fetched on first use, checked on every use (0.1 s).

    `cache` is `~/.cache` unless given. Raises DownloadFailed, or JarMismatch naming the jar.
    """
    jars = read_lock()
    folder = folder_in(cache or Path.home() / ".cache", jars)
    if not folder.is_dir():
        fill(folder, jars, FETCHERS)
    check(folder, jars)
    return folder


def folder_in(cache: Path, jars: tuple[Jar, ...]) -> Path:
    """Where a cache keeps these jars: another lock is another folder, so no folder ever changes."""
    version = next(jar.version for jar in jars if jar.artifact.startswith("kafka_"))
    sums = hashlib.sha256("".join(jar.sha256 for jar in jars).encode()).hexdigest()
    return cache / "llm-flywheel" / f"kafka-{version}-{sums[:8]}"


def check(folder: Path, jars: tuple[Jar, ...]) -> None:
    """Raise JarMismatch unless the folder holds the pinned jars and nothing else: all of it is the classpath."""
    found = {path.name for path in folder.iterdir()}
    if extra := sorted(found - {jar.file for jar in jars}):
        raise JarMismatch(f"{folder / extra[0]} is not one of Kafka's pinned jars. Remove it.")
    for jar in jars:
        sha256 = hashlib.sha256((folder / jar.file).read_bytes()).hexdigest() if jar.file in found else "missing"
        if sha256 != jar.sha256:
            raise JarMismatch(
                f"{folder / jar.file} is not the pinned {jar.coordinates}: expected SHA-256 {jar.sha256}, "
                f"found {sha256}. Remove the folder to fetch it again; if that does not help, "
                "the repository you fetch from serves another file and must not be trusted."
            )


def fill(folder: Path, jars: tuple[Jar, ...], fetchers: Sequence[Fetch]) -> None:
    """Fetch and check the jars in a folder beside, then rename it: whoever sees `folder` sees all of it.

    Two processes may do so at once: the first to rename wins, and the other's are dropped. The fetchers are tried
    in turn. Raises DownloadFailed with what each said, or JarMismatch.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as scratch:
        fresh = Path(scratch) / "jars"
        _try_each(fetchers, jars, fresh, folder)
        check(fresh, jars)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _try_each(fetchers: Sequence[Fetch], jars: tuple[Jar, ...], into: Path, folder: Path) -> None:
    reasons = []
    for fetch in fetchers:
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        try:
            fetch(jars, into)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reasons.append(f"{fetch.__name__}: {error}")
        else:
            return
    raise DownloadFailed(
        f"the Kafka jars could not be fetched ({'; '.join(reasons)}). Connect to the network once, "
        f"or copy {folder} from a machine that has it, or set KAFKA_BOOTSTRAP_SERVERS to a broker you run."
    )


def fetch_with_jgo(jars: tuple[Jar, ...], into: Path) -> None:
    """Download the jars from Maven Central. Raises OSError or RuntimeError, the latter where a jar is not there."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_download, jars, repeat(into)))  # map, unlike submit, drops the rest when one fails


def _download(jar: Jar, into: Path) -> None:
    """Fetch one jar, in a scratch repository for each attempt: jgo would take a half-written file for the jar."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - heavy, and used once in a machine's life

    for left in reversed(range(ATTEMPTS)):
        with tempfile.TemporaryDirectory(dir=into.parent) as repository:
            project = MavenContext(repo_cache=Path(repository), timeout=20).project(jar.group, jar.artifact)
            try:
                project.at_version(jar.version).artifact().resolve().rename(into / jar.file)
            except OSError:
                if not left:
                    raise
            else:
                return


def fetch_with_maven(jars: tuple[Jar, ...], into: Path) -> None:
    """Copy the jars with the machine's Maven. Raises OSError or SubprocessError."""
    mvn = shutil.which("mvn")
    if mvn is None:
        raise FileNotFoundError("not installed")
    pom = into.parent / "pom.xml"
    pom.write_text(_pom(jars))
    done = subprocess.run(  # noqa: S603 - a program from the search path, no shell
        [mvn, "-B", "-q", "-f", pom, MAVEN_COPY, f"-DoutputDirectory={into}"],
        capture_output=True, text=True, timeout=MAVEN_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "[ERROR]" in line]
        raise OSError("".join(errors[:1]) or f"exit code {done.returncode}")


def _pom(jars: tuple[Jar, ...]) -> str:
    """A project that depends on each pinned jar and on nothing that they ask for."""
    wanted = "".join(
        f"<dependency><groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId>"
        f"<version>{jar.version}</version><exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId>"
        "</exclusion></exclusions></dependency>"
        for jar in jars
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>llm-flywheel</groupId>"
        "<artifactId>broker-jars</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>"
    )


FETCHERS: tuple[Fetch, ...] = (fetch_with_jgo, fetch_with_maven)
"""jgo needs nothing installed; Maven knows the mirrors and passwords of the user's settings.xml."""
