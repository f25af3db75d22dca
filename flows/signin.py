"""The link that signs a person in to the Prefect UI which `flywheel up` starts.

Prefect's UI keeps the password in the browser's storage, which only a page of its own origin may write: `signin.html`
is laid beside the UI's own files. The password stands behind the `#` of the link, the part that a browser sends to
nobody. Prefect's own pages, which render words of strangers as Markdown, get a policy that lets them call nobody.
Go on to `stack.py`, the user.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

UI = Path("run", "prefect-ui")
"""Below the home: where Prefect is told to keep the files of its UI."""
_PAGE = Path(__file__).with_name("signin.html")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; "
    "form-action 'none'"
)
_META = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'


def lay_out(home: Path) -> None:
    """Put the page beside the files of Prefect's UI, once the server has laid these out, and the policy into theirs.

    Prefect keeps each version of its UI in a folder of its own; where there is none its UI is switched off.
    """
    for folder in (home / UI).glob("*/"):
        index = folder / "index.html"
        if index.exists():
            (folder / _PAGE.name).write_bytes(_PAGE.read_bytes())
            if _META not in (page := index.read_text()):
                index.write_text(page.replace("<head>", f"<head>{_META}", 1))


def link(page: str, auth: str) -> str:
    """The address that signs in whoever opens it; `page` is that of the UI, `auth` its `user:password`."""
    return f"{page}/{_PAGE.name}#{quote(auth, safe='')}"
