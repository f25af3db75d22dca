"""What is installed is named by its hash, and the bill of materials says so."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SBOM: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "sbom.py"))


@pytest.mark.parametrize("lock", ["constraints.txt", "installer.txt"])
def test_every_package_has_a_version_and_hashes(lock: str) -> None:
    """Pip and uv then refuse any other file, and any package that is not listed."""
    text = (ROOT / lock).read_text()
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    found = list(SBOM["packages"](text))

    assert len(found) == len(entries) > 0
    assert all(part["hashes"] for part in found)


def test_nothing_is_installed_past_the_locks() -> None:
    """Wherever this repository installs, it asks for hashes, or for nothing but itself."""
    for name in ("Makefile", "Dockerfile", ".ci/run"):
        for line in re.findall(r"^.*pip install.*$", (ROOT / name).read_text(), re.MULTILINE):
            assert "--require-hashes" in line or "--no-deps" in line, f"{name}: {line}"


def test_the_bill_of_materials_is_whole_and_the_same_each_time() -> None:
    """Packages, installer and jars, each once, each with a hash; the same locks give the same bytes."""
    made = SBOM["sbom"](ROOT)
    refs = [part["bom-ref"] for part in made["components"]]

    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert json.dumps(made) == json.dumps(SBOM["sbom"](ROOT))
    assert len(refs) == len(set(refs))
    assert {"pkg:pypi/uv", "pkg:pypi/msgspec", "pkg:maven/org.apache.kafka/kafka_2.13"} <= {
        ref.rpartition("@")[0] for ref in refs
    }
    assert all(re.fullmatch("[0-9a-f]{64}", each["content"]) for part in made["components"] for each in part["hashes"])
    assert made["dependencies"][0]["dependsOn"] == refs
