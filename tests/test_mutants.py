"""The mutants of the critical modules fit the tree, and are judged fairly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LISTS = sorted((ROOT / "benchmarks" / "mutants").glob("*.toml"))


@pytest.fixture(scope="module")
def mutants() -> Any:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "benchmarks" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["mutants"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_mutant_still_has_its_place(mutants: Any, path: Path) -> None:
    """Each old text stands once in its module, what it makes is Python, and the tests that must notice are there.

    Whoever changes such a line changes `benchmarks/mutants/NAME.toml` with it.
    """
    found = mutants.read(path)

    assert len(found.mutant) >= 4
    assert all((ROOT / test.removeprefix("--deselect=").partition("::")[0]).exists() for test in found.tests)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one module with one test, which knows half of it and never ends where the step is 0."""
    (tmp_path / "sums.py").write_text(
        "STEP = 1\n\ndef add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return a - b\n"
    )
    (tmp_path / "test_sums.py").write_text(
        "import sums\n\ndef test_add():\n    n = 0\n    while n < 3:\n        n = sums.add(n, sums.STEP)\n"
        "    assert n == 3\n"
    )
    (tmp_path / "the_same_examples.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "limit", "fate"),
    [
        ("return a + b", "return a + b + 1", 60, "killed"),
        ("STEP = 1", "STEP = 0", 3, "timed out"),
        ("return a - b", "return a + b", 60, "SURVIVED"),
    ],
)
def test_a_mutant_is_killed_or_it_survives(
    mutants: Any, tree: Path, old: str, new: str, limit: float, fate: str
) -> None:
    """What a test notices is killed, a test that hangs has noticed, and the tree is mended afterwards."""
    before = (tree / "sums.py").read_text()
    mutant = mutants.Mutant("", old, new)
    found = mutants.Mutants("sums.py", ("test_sums.py",), (mutant,))

    assert mutants.fate_of(tree, found, mutant, limit) == fate
    assert (tree / "sums.py").read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return a * b", "", "stands 0 times"),
        ("(a, b)", "", "stands 2 times"),
        ("return a + b", "return (", "no Python"),
    ],
)
def test_a_list_that_does_not_fit_is_an_error(mutants: Any, tree: Path, old: str, new: str, said: str) -> None:
    """A text that is gone, or stands twice, or breaks the grammar shows nothing: it is refused by name."""
    listed = tree / "sums.toml"
    listed.write_text(
        f'module = "sums.py"\ntests = ["test_sums.py"]\n[[mutant]]\nwhy = "w"\nold = "{old}"\nnew = "{new}"\n'
    )

    with pytest.raises(mutants.Unfit, match=f"sums 1.*{said}"):
        mutants.read(listed, tree)


def test_a_tree_in_which_no_test_runs_is_an_error(mutants: Any, tree: Path) -> None:
    """A mutant that cannot even be imported was not noticed by a test."""
    mutant = mutants.Mutant("", "STEP = 1", "STEP = missing")

    with pytest.raises(mutants.Unfit, match="no test could run"):
        mutants.fate_of(tree, mutants.Mutants("sums.py", ("test_sums.py",), (mutant,)), mutant, 60)
