"""Writes the contract of every event type into `schemas/json/`: `make schemas`, or `python -m schemas`."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.codec import json_schemas

FOLDER = Path(__file__).parent / "json"


def main() -> None:
    """One file a type; what changed is for a person to review."""
    for name, schema in json_schemas().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
