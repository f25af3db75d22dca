"""A real S3 server in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from streams.broker.broker import free_port
from streams.lake import Lake
from tests.support.waiting import eventually


class S3:
    """A real S3 server in a child process."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process
        self.options = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        """Storage options that lead to it."""

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"lake-{uuid.uuid4()}"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).close()
        return name

    def lake(self, bucket: str, **options: str) -> Lake:
        """A lake in a bucket."""
        return Lake(f"s3://{bucket}/lake", {**self.options, **options})


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status)
    except OSError:
        return False


@contextmanager
def serving() -> Iterator[S3]:
    """A server with no buckets, on a free port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _serves(url))
    yield S3(url, process)
    process.terminate()
    process.wait(10)
