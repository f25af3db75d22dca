"""Settings of what is served over HTTP (the door for events, the web app for people) and of what calls people.

Go on to `settings.py`, which holds them all.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.secrets import Secret


class DoorSettings(Struct, frozen=True, kw_only=True):
    """HTTP in: events, feedback, OpenTelemetry."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 4318
    """Port of the HTTP door, OpenTelemetry's own, so that an exporter on this machine finds it; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address that the door listens on. On any other than loopback it opens only once there is a token."""
    names: tuple[str, ...] = ()
    """Names under which the door may be asked for, beside `localhost` and addresses; others get 421."""
    origins: tuple[str, ...] = ()
    """Web pages (`https://shop.example`) whose scripts may send: no other page of anybody's browser may."""
    max_body_bytes: Annotated[int, Meta(ge=1)] = 16 * 2**20
    """Of one request, inflated: a longer one is answered 413. Spans of 100 kB are normal, and come some hundred at a
    time."""
    collector_topic: str = ""
    """Topic to which an OpenTelemetry Collector's Kafka exporter writes traces as `otlp_proto`; empty: none. Its spans
    become events as those that come by HTTP do."""


Role = Literal["reader", "reviewer", "approver", "operator"]
"""What a person may do in the web app, each also what those before it may: read; judge and correct; decide about
candidates and clusters; everything."""
UI_PORT = 6067


class OidcSettings(Struct, frozen=True, kw_only=True):
    """An OpenID Connect provider that signs people in, where `ui.identity` is `oidc`."""

    issuer: str = ""
    """Its address, exactly as its ID tokens name it; `/.well-known/openid-configuration` below it says the rest."""
    client_id: str = ""
    """What it knows the web app as. To register there: `<alerts.link>/sign-in/back` as the address to come back to."""
    client_secret: Secret = Secret()
    """The client's secret; empty for a public client, which PKCE alone protects."""
    scope: str = "openid email profile"
    """What is asked for; many providers want another word here before they name groups."""
    name: str = "email"
    """The claim that names a person, in events and in the ledger too: one that nobody can choose for themselves."""
    groups: str = "groups"
    """The claim that lists their groups; `ui.roles` gives them roles."""
    hours: Annotated[float, Meta(gt=0, le=720)] = 8.0
    """After so long a person signs in again. Roles that are taken from somebody at the provider hold as long here."""


class UiSettings(Struct, frozen=True, kw_only=True):
    """The web app for people."""

    host: str = "127.0.0.1"
    """Address that it listens on. Another than loopback needs an `ui.identity` that is not `local`: else anybody could
    decide."""
    port: int = UI_PORT
    """Its port; 0 takes a free one."""
    names: tuple[str, ...] = ()
    """Names under which it may be asked for, beside `localhost` and addresses: `wheel.example.org`; others get 421."""
    identity: Literal["local", "header", "oidc"] = "local"
    """`local`: whoever can reach it is this account. `header`: a proxy signs people in and names them in
    `X-Forwarded-User`. `oidc`: the web app sends them to the provider of `ui.oidc`; unsigned nobody sees a page."""
    oidc: OidcSettings = OidcSettings()
    """The provider: its `issuer`, `client_id` and `client_secret` there, the `scope` that is asked for, the claims that
    `name` a person and list their `groups`, and `hours` that a session holds."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses whose `X-Forwarded-User` and `X-Forwarded-Groups` are believed."""
    roles: dict[str, Role] = {}
    """Person or group, as the proxy or the provider names them → role. Whoever is not in it reads."""
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Port for Prometheus: how much waits, when the wheel last turned, what that cost; 0: none."""
    metrics_host: str = "127.0.0.1"
    """Address that it listens on; it has no password."""
    readonly: bool = False
    """Nobody may write anything: for a public look."""


class Webhook(Struct, frozen=True, kw_only=True):
    """A place that is told of alerts."""

    url: Secret
    """Its whole address, never shown: whoever knows the address of a chat's webhook may write there."""
    secret: Secret = Secret()
    """Signs what is sent as Standard Webhooks do (`whsec_…`, or any text); empty: unsigned."""
    shape: Literal["event", "text"] = "event"
    """`event`: the alert as it stands on `llm.alerts`, with a link. `text`: one sentence, as chats take it."""
    rules: tuple[str, ...] = ()
    """Only alerts of these rules; empty: of all."""


class AlertSettings(Struct, frozen=True, kw_only=True):
    """Alerts on their way to people. The web app sends them."""

    webhooks: dict[str, Webhook] = {}
    """Name → who is told: `url`, `secret`, `shape` (`event`, or `text` for chats), and `rules` where not all."""
    link: str = ""
    """Address of the web app as people reach it, for the links in alerts; empty: this machine's own."""
    per_hour: Annotated[int, Meta(ge=1)] = 20
    """Messages that one place gets in an hour; what is more comes together, as the last of them."""
    again_s: Annotated[float, Meta(ge=0)] = 3600.0
    """The same trouble is told again after so many seconds at the earliest, however often it comes and goes."""
