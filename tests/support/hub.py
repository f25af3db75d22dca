"""A Hugging Face Hub as large as a test: the HTTP protocol that `huggingface_hub` speaks, held in memory.

Repositories, LFS objects, commits and tags, behind one token. It can fail on cue: uploads past `accepts` hang, as on a
line that went dead. Spoken to through HF_ENDPOINT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_the-right-one"


class Hub:
    """What the Hub remembers."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, list[dict[str, bytes]]] = {}
        """Name → commits, each all its files."""
        self.tags: dict[str, dict[str, int]] = {}
        self.objects: dict[str, bytes] = {}
        """LFS: SHA-256 → content."""
        self.uploads: list[str] = []
        """Objects in the order in which they arrived whole."""
        self.accepts: int | None = None
        """Uploads that are still taken; None: all."""
        self.hanging = 0
        self.closed = threading.Event()
        self.lock = threading.Lock()

    def files(self, repository: str) -> dict[str, bytes]:
        """Of the newest commit."""
        commits = self.repositories[repository]
        return commits[-1] if commits else {}

    def take(self, oid: str, content: bytes) -> int:
        """An upload; the HTTP status. Hangs where no more are accepted."""
        with self.lock:
            if full := self.accepts is not None and len(self.uploads) >= self.accepts:
                self.hanging += 1
            elif hashlib.sha256(content).hexdigest() == oid:
                self.objects[oid] = content
                self.uploads.append(oid)
        if full:
            self.closed.wait()
        return 200 if oid in self.objects else 422

    def commit(self, repository: str, lines: list[dict[str, Any]]) -> int:
        """All of a commit or nothing."""
        files = dict(self.files(repository))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.repositories[repository].append(files)
        return len(self.repositories[repository])


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        if not self._known():
            return
        found = re.match(r"/api/datasets/([^/]+/[^/]+)/tree/", self.path)
        files = self.hub.files(found[1]) if found else {}
        listed = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files.items()]
        self._answer(200 if found else 404, listed)

    def do_PUT(self) -> None:
        self._answer(self.hub.take(self.path.rpartition("/")[2], self._body()), {})

    def do_POST(self) -> None:
        body = self._body()
        if not self._known():
            return
        for pattern, answer in self._ROUTES.items():
            if found := re.match(pattern, self.path):
                self._answer(*answer(self, body, *found.groups()))
                return
        self._answer(404, {"error": self.path})

    def _yaml(self, body: bytes) -> tuple[int, Any]:
        assert json.loads(body)["content"].startswith("---")
        return 200, {"errors": [], "warnings": []}

    def _create(self, body: bytes) -> tuple[int, Any]:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.hub.repositories
        self.hub.repositories.setdefault(name, [])
        self.hub.tags.setdefault(name, {})
        return 409 if there else 200, {"url": f"{self.hub.url}/datasets/{name}", "error": "it is there already"}

    def _preupload(self, body: bytes, _: str) -> tuple[int, Any]:
        names = [file["path"] for file in json.loads(body)["files"]]
        modes = {True: "lfs", False: "regular"}
        return 200, {
            "files": [{"path": n, "uploadMode": modes[n.endswith(".parquet")], "shouldIgnore": False} for n in names]
        }

    def _batch(self, body: bytes, _: str) -> tuple[int, Any]:
        asked = json.loads(body)["objects"]
        actions = {"upload": {"href": f"{self.hub.url}/upload/"}}
        return 200, {
            "transfer": "basic",
            "objects": [
                o if o["oid"] in self.hub.objects
                else {**o, "actions": {"upload": {"href": actions["upload"]["href"] + o["oid"]}}}
                for o in asked
            ],
        }  # fmt: skip

    def _commit(self, body: bytes, repository: str) -> tuple[int, Any]:
        number = self.hub.commit(repository, [json.loads(line) for line in body.splitlines()])
        url = f"{self.hub.url}/datasets/{repository}/commit/{number:040x}"
        return 200, {"commitUrl": url, "commitOid": f"{number:040x}", "pullRequestUrl": None}

    def _tag(self, body: bytes, repository: str) -> tuple[int, Any]:
        tag = json.loads(body)["tag"]
        there = tag in self.hub.tags[repository]
        self.hub.tags[repository].setdefault(tag, len(self.hub.repositories[repository]))
        return 409 if there else 200, {"error": "it is there already"}

    _ROUTES = {  # noqa: RUF012 never changed
        r"/api/validate-yaml": _yaml,
        r"/api/repos/create": _create,
        r"/api/datasets/([^/]+/[^/]+)/preupload/main": _preupload,
        r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch": _batch,
        r"/api/datasets/([^/]+/[^/]+)/commit/main": _commit,
        r"/api/datasets/([^/]+/[^/]+)/tag/main": _tag,
    }

    def _known(self) -> bool:
        if self.headers["authorization"] == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"error": "Invalid username or password."})
        return False

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port of its own."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        hub.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()
