"""Spark Structured Streaming from Kafka to Delta, `local[2]`: `jars/spark/Sink.java`, with the jars of its pom.xml."""

from __future__ import annotations

from benchmarks.peers.counts import DeltaSink
from benchmarks.peers.fetch import CACHE, classpath, compiled, lacking
from benchmarks.peers.peer import Job, fields

OPENED = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs",
    "sun.security.action", "sun.util.calendar",
)  # fmt: skip
"""What Spark's own launcher opens on Java 17."""


class SparkPeer(DeltaSink):
    """All that is there in one micro-batch, its best case; in ten where commits are to be many."""

    name = "Spark 4.0.0 Structured Streaming, Delta 4.0.0"

    def missing(self) -> str | None:
        """Java with its compiler, and the jars."""
        return lacking("spark", "java", "javac", of=CACHE / "spark" / "classes")

    def prepare(self, job: Job) -> None:
        """Nothing: it makes its table."""

    def command(self, job: Job) -> list[str]:
        """One driver that ends when it has read what was there."""
        compiled("spark")
        most = max(1, job.events // 10) if job.often else 0
        return [
            "env", f"--chdir={job.folder}",
            "java", "-Xmx2g", "-XX:+IgnoreUnrecognizedVMOptions", "-Dspark.driver.host=127.0.0.1",
            "-Dspark.driver.bindAddress=127.0.0.1", "-Dio.netty.tryReflectionSetAccessible=true",
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
            "-cp", classpath("spark"), "Sink", job.servers, job.topic, str(job.folder), str(most), fields(),
        ]  # fmt: skip

    def group(self, job: Job) -> str | None:
        """None: it ends by itself."""
