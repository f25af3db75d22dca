"""The wheel as a stranger installs it: whole, typed, able to run from an empty folder; and how a release is made."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from flows.run import code_version

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("schemas", "streams", "flows", "ui")
tools = pytest.importorskip("build", reason="the extra `dev` is not installed")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program, and what it said; without anything of ours in its environment."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FLYWHEEL_", "PYTHON", "KAFKA_"))}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=240,
        env={**ours, **environment},
    )  # fmt: skip


def build(source: Path, to: Path) -> Path:
    """The wheel of a source tree, built with the pinned tools."""
    done = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", to, source, cwd=to)
    assert done.returncode == 0, done.stdout + done.stderr
    return max(to.glob("*.whl"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def flywheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `flywheel` of an environment with our wheels and dependencies in it, and not this checkout."""
    wheels = [wheel]
    if (ROOT / "sdk" / "pyproject.toml").is_file():
        wheels.append(build(ROOT / "sdk", wheel.parent))
    place = tmp_path_factory.mktemp("bare")
    assert run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place).returncode == 0
    paths = sysconfig.get_paths(vars={"base": str(place), "platbase": str(place)})
    # A line of a .pth adds a folder, and not what the folder's own .pth files name: the checkout is not seen.
    (Path(paths["purelib"]) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    done = run(*pip, "--no-deps", "--no-index", "--ignore-installed", *wheels, cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "bin" / "flywheel"


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    """SQL, HTML, schemas and the demo's data too; and nothing at its top that is not ours."""
    tracked = run("git", "ls-files", *PACKAGES, "examples/support_bot", cwd=ROOT).stdout.splitlines()
    expected = {name.replace("examples/support_bot", "flows/support_bot") for name in tracked if (ROOT / name).exists()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert expected <= held
    assert {name.partition("/")[0] for name in held} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= held


def test_an_installed_wheel_answers_from_an_empty_folder(flywheel: Path, tmp_path: Path) -> None:
    """`--help` and `--version` of the installed program, not of this checkout; nothing is written."""
    helped = run(flywheel, "--help", cwd=tmp_path)
    version = run(flywheel, "--version", cwd=tmp_path)
    where = run(flywheel.with_name("python"), "-c", "import flows; print(flows.__file__)", cwd=tmp_path)

    assert (helped.returncode, version.returncode) == (0, 0), helped.stderr + version.stderr
    assert "demo" in helped.stdout
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] in version.stdout
    assert Path(where.stdout.strip()).is_relative_to(flywheel.parent.parent)
    assert list(tmp_path.iterdir()) == []


def test_an_installed_wheel_has_its_demo(flywheel: Path, tmp_path: Path) -> None:
    """It is found and begins: it reads its customers' words before anything is started, here a file that is none."""
    done = run(flywheel, "--home", tmp_path / "home", "demo", "--data", "no-such-file.jsonl", cwd=tmp_path)
    words = "from flows.support_bot.utterances import UTTERANCES, load; print(len(load(UTTERANCES)))"
    own = run(flywheel.with_name("python"), "-c", words, cwd=tmp_path)

    assert done.returncode == 2
    assert "no-such-file.jsonl" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert int(own.stdout) > 1000, own.stderr


def test_the_same_code_is_the_same_run_from_a_wheel_and_a_checkout(flywheel: Path, tmp_path: Path) -> None:
    """The demo that the wheel has besides takes no part in any run."""
    done = run(flywheel.with_name("python"), "-c", "from flows.run import *; print(code_version())", cwd=tmp_path)

    assert done.stdout.strip() == code_version(), done.stderr


def test_settings_are_typed_for_whoever_imports_us(flywheel: Path, tmp_path: Path) -> None:
    """A type checker sees the types of the installed packages: a wrong one is an error in an extension."""
    (tmp_path / "mine.py").write_text(
        "from schemas.settings import EvaluateSettings\nEvaluateSettings(samples='three')\n"
    )
    python = flywheel.with_name("python")
    done = run(sys.executable, "-m", "mypy", "--python-executable", python, "mine.py", cwd=tmp_path)

    assert 'incompatible type "str"; expected "int"' in done.stdout, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git tracks here, committed."""
    files = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "copy" / name).write_bytes((ROOT / name).read_bytes())
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "All"]):
        assert run("git", *command, cwd=tmp_path / "copy").returncode == 0
    return tmp_path / "copy"


def test_a_release_is_built_checked_and_dated(checkout: Path) -> None:
    """Version and day stand where they must, both archives pass `twine check`; what is uncommitted is not released."""
    release = [sys.executable, checkout / ".ci" / "release.py"]

    done = run(*release, "0.2.0", "--day", "2026-01-05", cwd=checkout)
    again = run(*release, "0.3.0", cwd=checkout)

    assert done.returncode == 0, done.stdout + done.stderr
    assert 'version = "0.2.0"' in (checkout / "pyproject.toml").read_text()
    changelog = (checkout / "CHANGELOG.md").read_text()
    assert "## Unreleased\n\n## 0.2.0 (2026-01-05)\n\n### " in changelog
    names = {path.name for path in (checkout / "dist").iterdir()}
    both = ("llm_flywheel", "llm_flywheel_sdk")
    assert names == {f"{name}-0.2.0{kind}" for name in both for kind in ("-py3-none-any.whl", ".tar.gz")}
    with tarfile.open(checkout / "dist" / "llm_flywheel-0.2.0.tar.gz") as archive:
        assert {"pyproject.toml", "tests", "docs", "examples"} <= {name.split("/")[1] for name in archive.getnames()}
    assert "uncommitted changes" in again.stderr


@pytest.mark.parametrize(
    ("version", "says"),
    [("0.0.9", "earlier than"), ("next", "is no version"), ("1.0", "is no version"), ("1.0.0rc1", "is no version")],
)
def test_a_version_that_is_none_changes_nothing(checkout: Path, version: str, says: str) -> None:
    """Refused before a file is written."""
    done = run(sys.executable, checkout / ".ci" / "release.py", version, cwd=checkout)

    assert done.returncode == 1
    assert says in done.stderr
    assert run("git", "status", "--porcelain", cwd=checkout).stdout == ""
