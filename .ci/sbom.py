"""Writes what an installation consists of as CycloneDX 1.6: the packages of constraints.txt, the jars of the broker.

`make sbom` writes dist/sbom.json. The same locks give the same bytes: no clock, no network, and a serial number of the
content. A script of our own, since the locks say all there is to say: name, version, hashes, where each is taken from.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def packages(lock: str) -> Iterator[dict[str, Any]]:
    """The Python packages of a lock, each with the hashes of its files: whichever a machine takes is one of these."""
    starts = [*(found.start() for found in _PACKAGE.finditer(lock)), len(lock)]
    for begin, end in itertools.pairwise(starts):
        name, version = _PACKAGE.match(lock[begin:end]).groups()  # type: ignore[union-attr]
        purl = f"pkg:pypi/{name.lower()}@{version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(_HASH.findall(lock[begin:end]))],
        }


def jars(lock: str) -> Iterator[dict[str, Any]]:
    """The jars of the embedded broker."""
    for line in lock.splitlines():
        if line and not line.startswith("#"):
            place, sha256 = line.split()
            group, name, version = place.split(":")
            purl = f"pkg:maven/{group}/{name}@{version}"
            yield {
                "type": "library", "bom-ref": purl, "group": group, "name": name, "version": version, "purl": purl,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }  # fmt: skip


def sbom(root: Path) -> dict[str, Any]:
    """The bill of materials of a checkout."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    parts = [
        *packages((root / "constraints.txt").read_text()),
        *packages((root / "installer.txt").read_text()),
        *jars((root / "streams" / "broker" / "kafka_jars.txt").read_text()),
    ]
    parts.sort(key=lambda part: part["bom-ref"])
    ref = f"pkg:pypi/{project['name']}@{project['version']}"
    content = json.dumps(parts, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ref + content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": ref, "name": project["name"], "version": project["version"],
                "purl": ref, "licenses": [{"license": {"id": project["license"]}}],
            },
        },
        "components": parts,
        "dependencies": [{"ref": ref, "dependsOn": [part["bom-ref"] for part in parts]}],
    }  # fmt: skip


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(sbom(ROOT), indent=2) + "\n")
    print(f"{target}: {len(sbom(ROOT)['components'])} components")  # noqa: T201 for whoever called `make sbom`
