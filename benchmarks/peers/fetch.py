"""Gets the programs that the archiver is measured beside: `python benchmarks/peers/fetch.py NAME…`.

    python benchmarks/peers/fetch.py iceberg spark quixstreams    jars by Maven, a package by pip: 700 MB

All of it lies in `~/.cache/llm-flywheel/peers` (below XDG_CACHE_HOME, if set) and is used by
`python benchmarks/ingest.py --peers`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import venv
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "jars"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-flywheel" / "peers"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JARS = {"iceberg": "LakeTable.java", "spark": "Sink.java"}
"""The peers of Java: what is compiled against the jars that `jars/NAME/pom.xml` lists."""
QUIX = ("quixstreams==3.28.1", "pyarrow")


def command_for(name: str) -> str:
    """What a person calls to get it."""
    return f"python benchmarks/peers/fetch.py {name}"


def lacking(name: str, *programs: str, of: Path) -> str | None:
    """What is not at hand: a program of the machine, or what `fetch` makes; None where all is."""
    if absent := [program for program in programs if shutil.which(program) is None]:
        return f"{' and '.join(absent)} not on the PATH"
    return None if of.exists() else f"not fetched: {command_for(name)}"


def classpath(name: str) -> str:
    """The jars of a peer, and what was compiled against them."""
    return f"{CACHE / name / 'classes'}:{CACHE / name / 'lib'}/*"


def compiled(name: str) -> None:
    """Compile the source beside its pom.xml, where it is newer than what was compiled."""
    source, classes = SOURCES / name / JARS[name], CACHE / name / "classes"
    found = classes / source.with_suffix(".class").name
    if not found.exists() or found.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["javac", "-cp", f"{CACHE / name / 'lib'}/*", "-d", str(classes), str(source)], check=True)


def _jars(name: str) -> None:
    into = CACHE / name / "lib"
    copy = ["mvn", "-B", "-q", "-f", str(SOURCES / name / "pom.xml"), MAVEN_COPY, "-DincludeScope=runtime"]
    subprocess.run([*copy, f"-DoutputDirectory={into}"], check=True)
    compiled(name)


def _package() -> None:
    venv.create(CACHE / "quixstreams", clear=True, with_pip=True)
    subprocess.run([CACHE / "quixstreams" / "bin" / "python", "-m", "pip", "install", "-q", *QUIX], check=True)


def main() -> None:
    """Get what is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", choices=[*JARS, "quixstreams"])
    for name in parser.parse_args().names:
        if name in JARS:
            _jars(name)
        else:
            _package()
        print(CACHE / name)


if __name__ == "__main__":
    main()
