"""The options of Kafka clients that a setting may name: how to connect, to prove who one is, and to wait.

librdkafka knows others that load a library (`plugin.library.paths`, `ssl.engine.location`, `ssl.providers`) or run a
program (`sasl.kerberos.kinit.cmd`): with these a settings file of somebody else's folder would run code, so none may be
named that is not listed here. Go on to `settings.py`, the user.
"""

from __future__ import annotations

from collections.abc import Iterable

_CONNECT = """
    client.id client.rack client.dns.lookup broker.address.family broker.address.ttl metadata.max.age.ms
    topic.metadata.refresh.interval.ms socket.timeout.ms socket.connection.setup.timeout.ms socket.keepalive.enable
    socket.nagle.disable socket.max.fails socket.send.buffer.bytes socket.receive.buffer.bytes reconnect.backoff.ms
    reconnect.backoff.max.ms retry.backoff.ms retry.backoff.max.ms connections.max.idle.ms request.timeout.ms
    api.version.request api.version.request.timeout.ms api.version.fallback.ms broker.version.fallback log_level debug
    session.timeout.ms heartbeat.interval.ms max.poll.interval.ms partition.assignment.strategy isolation.level
    fetch.wait.max.ms fetch.queue.backoff.ms fetch.min.bytes fetch.max.bytes fetch.message.max.bytes
    max.partition.fetch.bytes queued.min.messages queued.max.messages.kbytes check.crcs receive.message.max.bytes
    message.max.bytes linger.ms compression.type compression.codec compression.level
"""
_IDENTIFY = """
    security.protocol sasl.mechanism sasl.mechanisms sasl.username sasl.password sasl.kerberos.service.name
    sasl.kerberos.principal sasl.kerberos.keytab sasl.oauthbearer.config sasl.oauthbearer.method
    sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.scope sasl.oauthbearer.extensions
    sasl.oauthbearer.token.endpoint.url enable.sasl.oauthbearer.unsecure.jwt ssl.ca.location ssl.ca.pem
    ssl.ca.certificate.stores ssl.certificate.location ssl.certificate.pem ssl.key.location ssl.key.password ssl.key.pem
    ssl.keystore.location ssl.keystore.password ssl.crl.location ssl.cipher.suites ssl.curves.list ssl.sigalgs.list
    ssl.endpoint.identification.algorithm enable.ssl.certificate.verification
"""
ALLOWED = frozenset((_CONNECT + _IDENTIFY).split())
"""Names as librdkafka writes them (its CONFIGURATION.md)."""
SHOWN = frozenset(_CONNECT.split()) | {
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.oauthbearer.method", "ssl.ca.location",
    "ssl.certificate.location", "ssl.crl.location", "ssl.key.location", "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
}  # fmt: skip
"""Of these, what says where and how, and never who: the values of all others are masked wherever settings are shown."""


def refuse_others(options: Iterable[str]) -> None:
    """Raise ValueError for an option that is not ALLOWED."""
    if others := sorted(set(options) - ALLOWED):
        raise ValueError(
            f"client option {others[0][:80]!r} may not be set: it is unknown, or could load or run a program "
            "(schemas/kafka_options.py lists those that may)"
        )
