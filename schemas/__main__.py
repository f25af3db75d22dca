"""Writes the contract of every event type, for machines and for people: `make schemas`, or `python -m schemas`."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.codec import json_schemas
from schemas.fields import page

FOLDER = Path(__file__).parent / "json"
PAGE = FOLDER.parent.parent / "docs" / "fields.md"


def main() -> None:
    """One file a type; what changed is for a person to review."""
    for name, schema in json_schemas().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
