"""Makes a release to be looked at: `make release VERSION=0.2.0`. Publishes nothing.

1. Writes the version into both pyproject.toml files (one is in sdk/), and a heading with version and day over what
CHANGELOG.md has unreleased. 2. Builds source archives and wheels into dist/ with the pinned tools. 3. `twine check`.
Then a person commits, tags and uploads. Raises SystemExit, a sentence, before anything is written where the tree has
uncommitted changes, the version is none or not a later one, or the changelog has nothing to release.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_UNRELEASED = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def numbers(version: str) -> tuple[int, ...]:
    """`1.2.3` as numbers. Raises SystemExit for anything else."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit(f"{version!r} is no version: write three numbers, such as 0.2.0")
    return tuple(map(int, version.split(".")))


def versioned(pyproject: str, version: str) -> str:
    """pyproject.toml with another version. Raises SystemExit where that is not a later one."""
    match = _VERSION.search(pyproject)
    if match is None:
        sys.exit("pyproject.toml has no line `version = …`")
    if numbers(version) <= numbers(match[1]) and version != match[1]:
        sys.exit(f"{version} is earlier than {match[1]}, the version in pyproject.toml")
    return pyproject.replace(match[0], f'version = "{version}"', 1)


def dated(changelog: str, version: str, day: date) -> str:
    """CHANGELOG.md with what was unreleased under its version and day. Raises SystemExit where that is nothing."""
    match = _UNRELEASED.search(changelog)
    if match is None or not match[1].strip():
        sys.exit("CHANGELOG.md has nothing under `## Unreleased`")
    if f"## {version} " in changelog:
        sys.exit(f"CHANGELOG.md has {version} already")
    return changelog.replace("## Unreleased\n", f"## Unreleased\n\n## {version} ({day.isoformat()})\n", 1)


def run(*command: str) -> None:
    """A step; its failure ends the release with its exit code."""
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(code)


def main() -> None:
    """All steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("version")
    parser.add_argument("--day", type=date.fromisoformat, default=datetime.now(UTC).date(), help="default: today")
    asked = parser.parse_args()
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True, text=True).stdout:
        sys.exit("there are uncommitted changes: a release is made of what is committed")
    projects, changelog = (ROOT / "pyproject.toml", ROOT / "sdk" / "pyproject.toml"), ROOT / "CHANGELOG.md"
    texts = [versioned(path.read_text(), asked.version) for path in projects]
    texts.append(dated(changelog.read_text(), asked.version, asked.day))
    for path, text in zip((*projects, changelog), texts, strict=True):
        path.write_text(text)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for project in (".", "sdk"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", project)
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted((ROOT / "dist").iterdir())))
    sys.stdout.write(
        f"dist/ holds {asked.version}. Look at `git diff`, then: git commit --all --message 'Release {asked.version}' "
        f"&& git tag v{asked.version} && python -m twine upload dist/*\n"
    )


if __name__ == "__main__":
    main()
