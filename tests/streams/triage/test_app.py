"""What triage makes of its settings, before any broker is asked."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import SettingsError
from schemas.secrets import Secret
from schemas.settings import KafkaSettings, Settings, TriageSettings
from streams.triage import report
from streams.triage.app import Triage, _credentials
from streams.triage.rates import Counts, Group


def test_limits_in_the_wrong_order_are_refused() -> None:
    """An alarm that clears above the rate that raises it would never rest."""
    upside_down = Settings(triage=TriageSettings(alert_rate=0.3, alert_clear_rate=0.4))

    with pytest.raises(SettingsError, match="alert_clear_rate"):
        Triage(upside_down)


def test_without_a_broker_it_says_so() -> None:
    """Triage starts no broker of its own."""
    with pytest.raises(SettingsError, match="bootstrap_servers"):
        Triage(Settings())


def test_the_rates_are_metrics_too() -> None:
    """Prometheus reads what the page shows, whatever a producer calls its model."""
    group = Group("bot", 'odd "name"\n\\')
    found = report.report([(group, 0, Counts(9, 5, 2)), (group, 60, Counts(1, 1, 1))], [group], {}, {"malformed": 3},
                         TriageSettings())  # fmt: skip

    families = text_string_to_metric_families(report.metrics(found))
    samples = {sample.name: sample for family in families for sample in family.samples}
    assert samples["flywheel_triage_failed"].labels["model"] == group.model
    values = {name: samples[f"flywheel_triage_{name}"].value for name in ("interactions", "judged", "failed", "alarm")}
    assert values == {"interactions": 10, "judged": 6, "failed": 3, "alarm": 1}
    assert samples["flywheel_triage_events_total"].value == 3


def test_security_options_are_translated() -> None:
    """The options of librdkafka, which every client shares, become Faust's."""
    plain = KafkaSettings(bootstrap_servers="kafka:9092")
    secret = {
        "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "me",
        "sasl.password": "secret",
    }  # fmt: skip

    assert _credentials(plain) is None
    both = _credentials(msgspec.structs.replace(plain, client=_secrets(secret)))
    assert (both.username, both.password, both.mechanism.value) == ("me", "secret", "SCRAM-SHA-512")
    assert both.ssl_context is not None
    open_sasl = _secrets(secret | {"security.protocol": "SASL_PLAINTEXT"})
    assert _credentials(msgspec.structs.replace(plain, client=open_sasl)).ssl_context is None
    tls = _secrets({"security.protocol": "SSL"})
    assert _credentials(msgspec.structs.replace(plain, client=tls)).context is not None


def _secrets(options: dict[str, str]) -> dict[str, Secret]:
    return {name: Secret(value) for name, value in options.items()}
