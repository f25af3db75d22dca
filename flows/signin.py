"""The link that signs a person in to the Prefect UI which `flywheel up` starts.

Prefect's UI keeps the password in the browser's storage, which only a page of its own origin may write: `signin.html`
is laid beside the UI's own files. The password stands behind the `#` of the link, the part that a browser sends to
nobody. Go on to `stack.py`, the user.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

UI = Path("run", "prefect-ui")
"""Below the home: where Prefect is told to keep the files of its UI."""
_PAGE = Path(__file__).with_name("signin.html")


def lay_out(home: Path) -> None:
    """Put the page beside the files of Prefect's UI, once the server has laid these out.

    Prefect keeps each version of its UI in a folder of its own; where there is none its UI is switched off.
    """
    for folder in (home / UI).glob("*/"):
        if (folder / "index.html").exists():
            (folder / _PAGE.name).write_bytes(_PAGE.read_bytes())


def link(page: str, auth: str) -> str:
    """The address that signs in whoever opens it; `page` is that of the UI, `auth` its `user:password`."""
    return f"{page}/{_PAGE.name}#{quote(auth, safe='')}"
