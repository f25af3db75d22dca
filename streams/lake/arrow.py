"""Arrow without pandas, which it would load (70 MiB, 0.7 CPU seconds) only to learn that our lists are not pandas'.

pyarrow looks for pandas once, at the first value that it is given. Imported before all else of the lake, this module
has it look while pandas is hidden; `to_pandas` asks again and finds it. Go on to `__init__.py`.
"""

from __future__ import annotations

import sys

import pyarrow as pa


class _Hidden:
    """Finds no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        """Called for every import while it is in `sys.meta_path`."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _look() -> None:
    """Have pyarrow look for pandas, in vain unless somebody else has loaded it."""
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hidden)


_look()
