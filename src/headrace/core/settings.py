"""What the environment may decide. The only place that reads environment variables."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, nan
from pathlib import Path

from headrace.core.errors import InvalidInput

_ADDRESS = re.compile(
    r"(https://[^/?#@:\s\\]+(:\d{1,5})?|http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?)(/[^?#\s\\]*)?"
)


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """The OpenID provider at which people sign in, and as whom we ask it."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where things are kept and who is asking.

    Attributes:
        home: folder of everything Headrace keeps on this machine (``HEADRACE_HOME``).
        database_url: SQLAlchemy address of the metadata (``HEADRACE_DATABASE_URL``).
        storage_path: folder of artefacts, tables and events (``HEADRACE_STORAGE_URL``).
        mlflow_url: an existing MLflow server, or an SQL address (``HEADRACE_MLFLOW_URL``).
        broker_url: address of the queue of requests that are answered later (``HEADRACE_BROKER_URL``); the
            metadata's database when not given.
        ray_address: Ray cluster that scores tables (``HEADRACE_RAY_ADDRESS``); processes here when not given.
        callback_hosts: hosts that may be told of answers, as ``HOST`` or ``HOST:PORT``
            (``HEADRACE_CALLBACK_HOSTS``, by commas).
        callback_private: whether these may be on this machine or in private networks
            (``HEADRACE_CALLBACK_PRIVATE``, ``yes``).
        url: address at which people reach the pages, for links in what they are told (``HEADRACE_URL``).
        channels: by its name, the address of each way by which people are told (``HEADRACE_CHANNEL_NAME``)
            with the secret in it.
        channels_private: whether these may be on this machine or in private networks, and be told without TLS
            (``HEADRACE_CHANNELS_PRIVATE``, ``yes``).
        user: the identity that commands run as (``HEADRACE_USER``, else the login name).
        freeze_on: abnormal uses that freeze the identity at once (``HEADRACE_FREEZE_ON``, by commas).
        spend_per_hour: costs of one identity within an hour above which an incident is raised
            (``HEADRACE_SPEND_PER_HOUR``).
        code: the code of that identity's authenticator app (``HEADRACE_CODE``).
        seals_path: folder of the audit log's seals outside the database (``HEADRACE_AUDIT_SEALS``; unless
            said, ``audit`` in the home).
        provider: where people sign in (``HEADRACE_OIDC_ISSUER``, ``HEADRACE_OIDC_CLIENT_ID`` and
            ``HEADRACE_OIDC_CLIENT_SECRET``).
        otlp_url: collector that spans are sent to (``HEADRACE_OTLP_URL``, or OpenTelemetry's own
            ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` and ``OTEL_EXPORTER_OTLP_ENDPOINT``); nowhere unless said.
        trace_ratio: share of requests traced among those without a trace (``HEADRACE_TRACE_RATIO``).
        closed: no prompt leaves for a provider that is not self-hosted (``HEADRACE_CLOSED=yes``).
    """

    home: Path
    database_url: str
    storage_path: Path
    mlflow_url: str
    user: str
    freeze_on: frozenset[str] = frozenset()
    spend_per_hour: float | None = None
    code: str = field(default="", repr=False)
    seals_path: Path | None = None
    provider: ProviderSettings | None = None
    broker_url: str = field(default="", repr=False)
    ray_address: str = ""
    callback_hosts: frozenset[str] = frozenset()
    callback_private: bool = False
    url: str = "http://127.0.0.1:8000"
    channels: Mapping[str, str] = field(default_factory=dict, repr=False)
    channels_private: bool = False
    otlp_url: str | None = None
    trace_ratio: float = 0.0
    closed: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def workflows_url(self) -> str:
        """Address of the durable workflows' own tables."""
        if self.database_url.startswith("sqlite"):
            return f"sqlite:///{self.home / 'workflows.sqlite'}"
        return self.database_url


def login_name() -> str:
    """The operating system's name for who is here, made to fit our rules for names."""
    try:
        raw = getpass.getuser().lower()
    except (KeyError, OSError):
        raw = "me"
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in raw)[:63]
    return cleaned if cleaned[:1].isalpha() else f"user-{cleaned}"[:63]


def read_settings(environment: Mapping[str, str] | None = None, *, home: Path | None = None) -> Settings:
    """Read ``HEADRACE_*``; everything has a default that works on a laptop.

    Raises:
        InvalidInput: an address has a form that this version does not serve.
    """
    env = dict(os.environ if environment is None else environment)
    root = (home or Path(env.get("HEADRACE_HOME") or Path.home() / ".headrace")).expanduser().absolute()
    storage = env.get("HEADRACE_STORAGE_URL") or str(root)
    if "://" in storage:
        scheme, _, path = storage.partition("://")
        if scheme != "file":
            raise InvalidInput(
                f"HEADRACE_STORAGE_URL is {storage!r}. Expected a folder or file:///folder; "
                "object storage is not served by this version yet."
            )
        storage = path
    database = env.get("HEADRACE_DATABASE_URL") or f"sqlite:///{root / 'headrace.sqlite'}"
    if not database.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise InvalidInput(
            f"HEADRACE_DATABASE_URL is {database.split('@')[-1]!r}. "
            "Expected sqlite:///FILE or postgresql://USER@HOST/NAME."
        )
    return Settings(
        home=root,
        database_url=database,
        storage_path=Path(storage).absolute(),
        mlflow_url=env.get("HEADRACE_MLFLOW_URL") or f"sqlite:///{root / 'mlflow.sqlite'}",
        user=env.get("HEADRACE_USER") or login_name(),
        freeze_on=_listed(env.get("HEADRACE_FREEZE_ON", "")),
        spend_per_hour=_positive("HEADRACE_SPEND_PER_HOUR", env.get("HEADRACE_SPEND_PER_HOUR")),
        code=env.get("HEADRACE_CODE", ""),
        seals_path=_folder(env.get("HEADRACE_AUDIT_SEALS")),
        provider=_provider(env),
        broker_url=_broker(env.get("HEADRACE_BROKER_URL", "")),
        ray_address=_cluster(env.get("HEADRACE_RAY_ADDRESS", "")),
        callback_hosts=_listed(env.get("HEADRACE_CALLBACK_HOSTS", "").lower()),
        callback_private=env.get("HEADRACE_CALLBACK_PRIVATE", "").lower() == "yes",
        url=_pages(env.get("HEADRACE_URL")),
        channels=_channels(env),
        channels_private=env.get("HEADRACE_CHANNELS_PRIVATE", "").lower() == "yes",
        otlp_url=_collector(env),
        trace_ratio=_ratio(env.get("HEADRACE_TRACE_RATIO")),
        closed=env.get("HEADRACE_CLOSED", "").lower() == "yes",
        environment=env,
    )


def _folder(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _listed(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def _broker(text: str) -> str:
    if text and not text.startswith(("amqp://", "amqps://", "kafka://", "kafkas://")):
        raise InvalidInput(
            f"HEADRACE_BROKER_URL is {text.rsplit('@', maxsplit=1)[-1]!r}. Expected "
            "amqp://USER:PASSWORD@HOST/VHOST or amqps://..., kafka://HOST:PORT or kafkas://..., or "
            "nothing for the built-in queue."
        )
    return text


def _cluster(text: str) -> str:
    if text and not re.fullmatch(r"local|auto|[\w.\-]+:\d+", text):
        raise InvalidInput(
            f"HEADRACE_RAY_ADDRESS is {text!r}. Expected HOST:PORT of a Ray cluster, auto for the one that "
            "this machine belongs to, local for one that is started here, or nothing for processes."
        )
    return text


def _pages(text: str | None) -> str:
    address = (text or "http://127.0.0.1:8000").rstrip("/")
    if not address.startswith(("http://", "https://")) or not address.isprintable() or " " in address:
        raise InvalidInput(f"HEADRACE_URL is {address[:200]!r}. Expected http://HOST:PORT or https://HOST.")
    return address


def _channels(env: Mapping[str, str]) -> dict[str, str]:
    prefix = "HEADRACE_CHANNEL_"
    return {name.removeprefix(prefix).lower(): env[name] for name in sorted(env) if name.startswith(prefix)}


def _positive(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not 0 < number < inf:
        raise InvalidInput(f"{name} is {text!r}. Expected a number above 0, or nothing for no limit.")
    return number


def _collector(env: Mapping[str, str]) -> str | None:
    names = ("HEADRACE_OTLP_URL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    name = next((name for name in names if env.get(name)), None)
    if name is None:
        return None
    if not env[name].startswith(("http://", "https://")):
        raise InvalidInput(f"{name} is {env[name][:200]!r}. Expected http://HOST:4318 or https://...")
    return env[name]


def _ratio(text: str | None) -> float:
    try:
        number = float(text or 0)
    except ValueError:
        number = nan
    if not 0 <= number <= 1:
        raise InvalidInput(f"HEADRACE_TRACE_RATIO is {text!r}. Expected a number from 0 to 1.")
    return number


def is_safe_address(text: str) -> bool:
    """Whether ``text`` is an https address, or http on this machine, without query and fragment.

    >>> is_safe_address("https://login.example/realm"), is_safe_address("http://login.example")
    (True, False)
    """
    return _ADDRESS.fullmatch(text) is not None and text.isprintable()


def _provider(env: Mapping[str, str]) -> ProviderSettings | None:
    issuer, client_id = env.get("HEADRACE_OIDC_ISSUER", ""), env.get("HEADRACE_OIDC_CLIENT_ID", "")
    if not issuer:
        return None
    if not is_safe_address(issuer):
        raise InvalidInput(
            f"HEADRACE_OIDC_ISSUER is {issuer[:200]!r}. Expected https://HOST/..., exactly as the provider "
            "names itself; http is for this machine only."
        )
    if not client_id:
        raise InvalidInput(
            "HEADRACE_OIDC_ISSUER is set, HEADRACE_OIDC_CLIENT_ID is not. Expected the id under which the "
            "provider knows Headrace."
        )
    return ProviderSettings(
        issuer=issuer, client_id=client_id, client_secret=env.get("HEADRACE_OIDC_CLIENT_SECRET", "")
    )
