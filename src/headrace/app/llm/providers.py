"""Which language models may be called, on whose terms, and how old what they know is; and their keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from headrace.app.composition import App
from headrace.core.identity import Principal
from headrace.gateway.llm.endpoints import FILE, Provider, ProviderModel, Target, read_providers
from headrace.gateway.llm.prices import FILE as PRICES
from headrace.gateway.llm.prices import Prices, read_prices
from headrace.gateway.llm.provider_keys import ProviderKeys
from headrace.gateway.llm.terms import Terms
from headrace.gateway.llm.uses import Stated, lacks

STALE_DAYS = 365
"""What has been learned is old when its newest part is older than this."""


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A language model that is registered.

    Attributes:
        model: empty for a provider of which no model is declared.
        is_alias: whether the provider may put another version behind the name.
        days_behind: since the end of what it has learned from; None: nobody has said.
        is_stale: whether that is more than a year.
        price_in, price_out: what a million tokens cost now; None: nobody knows.
        price_source: where that stands.
        lacks: what an enterprise system has and nobody has stated of it.
    """

    provider: str
    model: str
    is_alias: bool
    trained_until: date | None
    days_behind: int | None
    is_stale: bool
    owner: str
    service_level: str
    contact: str
    remediation: str
    terms: Terms
    price_in: float | None
    price_out: float | None
    price_source: str
    lacks: tuple[Stated, ...]


def keys_of(app: App) -> ProviderKeys:
    """The keys by which providers know this installation."""
    return ProviderKeys(app.settings.home / "keys", app.access.vault, app.settings.environment)


def offered(app: App, me: Principal) -> list[Offered]:
    """Every model that is registered, by provider. Raises Denied; InvalidInput: a file cannot be used."""
    app.gatekeeper.require(me, "project.read", f"workspace:{me.workspace}")
    home, today = app.settings.home, app.clock.now().date()
    known, prices = read_providers(home / FILE), read_prices(home / PRICES)
    return [
        _offered(name, provider, model, prices, today)
        for name, provider in sorted(known.providers.items())
        for model in provider.models or (ProviderModel(name=""),)
    ]


def key_names(app: App, me: Principal) -> list[str]:
    """Of the keys in the vault. Raises Denied."""
    app.gatekeeper.require(me, "access.read", f"workspace:{me.workspace}")
    return keys_of(app).names()


def put_key(app: App, me: Principal, name: str, key: str) -> None:
    """Keep a key under a name, in place of an older one. Calls use it from the next refusal or start on.

    Raises:
        Denied: ``me`` may not hand out rights here.
        InvalidInput: it is no key that a header can carry, or no name.
    """
    permitted = app.gatekeeper.require(me, "access.write", f"workspace:{me.workspace}")
    keys_of(app).put(name, key)
    app.store.audit.append(
        me.name, "provider_key.put", f"workspace:{me.workspace}", {"key": name} | permitted.basis
    )


def remove_key(app: App, me: Principal, name: str) -> bool:
    """Forget a key; whether it was there. Raises Denied."""
    permitted = app.gatekeeper.require(me, "access.write", f"workspace:{me.workspace}")
    removed = keys_of(app).remove(name)
    if removed:
        detail = {"key": name} | permitted.basis
        app.store.audit.append(me.name, "provider_key.remove", f"workspace:{me.workspace}", detail)
    return removed


def _offered(name: str, provider: Provider, model: ProviderModel, prices: Prices, today: date) -> Offered:
    days = None if model.trained_until is None else (today - model.trained_until).days
    price = prices.find(Target(name, model.name), today) if model.name else None
    return Offered(
        provider=name,
        model=model.name,
        is_alias=model.is_alias,
        trained_until=model.trained_until,
        days_behind=days,
        is_stale=days is not None and days > STALE_DAYS,
        owner=provider.owner,
        service_level=provider.service_level,
        contact=provider.contact,
        remediation=provider.remediation,
        terms=provider.terms,
        price_in=None if price is None else float(price.input),
        price_out=None if price is None else float(price.output),
        price_source="" if price is None else price.source,
        lacks=lacks(provider, model),
    )
