"""Where language models are reached and on what terms, as the operator declares it in ``providers.yaml``.

Keys are not in that file: it names them. A name such as ``env:OPENAI_API_KEY`` is a variable of the
environment; any other is a key that was put into the vault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ids import NAME_PATTERN
from headrace.core.settings import is_safe_address
from headrace.gateway.llm.terms import Terms
from headrace.projects.rules import BrokenRule
from headrace.projects.texts import read_typed

FILE = "providers.yaml"
Api = Literal["openai", "anthropic"]
_PLAIN = re.compile(r"http://[^/?#@:\s\\]+(:\d{1,5})?(/[^?#\s\\]*)?")
_LOCAL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])[:/]")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_LONGEST_S = 3_600.0
_MOST_CONNECTIONS = 10_000


@dataclass(frozen=True, kw_only=True)
class _Reached:
    """How an address is called.

    Attributes:
        api: what it speaks.
        secret: name of the key that it wants; empty for none.
        key_header: header that carries the key; unless said, the usual one of its ``api``.
        connect_timeout_s, first_byte_timeout_s, idle_timeout_s, total_timeout_s: how long it may take to be
            reached, to begin an answer, between two pieces of it, and in all.
        max_connections: to it from each event loop; further calls wait.
    """

    api: Api = "openai"
    secret: str = ""
    key_header: str = ""
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 120.0
    idle_timeout_s: float = 60.0
    total_timeout_s: float = 600.0
    max_connections: int = 256


@dataclass(frozen=True, kw_only=True)
class Endpoint(_Reached):
    """An address at which models answer; prompts name it by its ``name``.

    ``base_url`` goes up to the version, such as ``https://api.openai.com/v1``; ``models`` are those that may
    be asked there, None stands for any.
    """

    name: str
    base_url: str
    models: tuple[str, ...] | None = None

    def check(self, model: str) -> None:
        """Let a model pass that may be asked here.

        Raises:
            NotFound: it is not registered.
        """
        if self.models is not None and model not in self.models:
            known = ", ".join(self.models) or "none"
            raise NotFound(
                f"Provider {self.name!r} has no registered model {model[:80]!r} (has: {known}). Add it to "
                f"its models in {FILE}: whether it is an alias, and until when it has learned."
            )

    def key_headers(self, key: str) -> dict[str, str]:
        """What signs a request.

        >>> Endpoint(name="o", base_url="https://o.example/v1").key_headers("k")
        {'authorization': 'Bearer k'}
        """
        headers = {"anthropic-version": "2023-06-01"} if self.api == "anthropic" else {}
        name = self.key_header.lower() or ("x-api-key" if self.api == "anthropic" else "authorization")
        if key:
            headers[name] = f"Bearer {key}" if name == "authorization" else key
        return headers


@dataclass(frozen=True, kw_only=True)
class ProviderModel:
    """A model that a provider offers.

    Attributes:
        name: as the provider calls it.
        is_alias: whether the provider may put another version behind the name.
        trained_until: the end of what it has learned from.
    """

    name: str
    is_alias: bool = False
    trained_until: date | None = None


@dataclass(frozen=True, kw_only=True)
class Provider(_Reached):
    """An endpoint with what is to be known of who is behind it.

    Attributes:
        plain_http: whether it may be called by http although it is not on this machine; for what is
            self-hosted only.
        owner: who answers for it here.
        contact: whom to call at the provider when it fails.
        service_level: what it has promised.
        remediation: what is done when it fails or misbehaves: a text, or where it stands.
    """

    url: str
    plain_http: bool = False
    owner: str = ""
    contact: str = ""
    service_level: str = ""
    remediation: str = ""
    terms: Terms = field(default_factory=Terms)
    models: tuple[ProviderModel, ...] = ()

    @property
    def is_external(self) -> bool:
        """Whether somebody else runs it: neither we ourselves nor this machine."""
        return not (self.terms.self_hosted or _LOCAL.match(self.url))

    def endpoint(self, name: str) -> Endpoint:
        """Where it is reached; of what others run, registered models only."""
        models = tuple(model.name for model in self.models) if self.is_external else None
        how: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(_Reached)}
        return Endpoint(name=name, base_url=self.url.rstrip("/"), models=models, **how)


class Target(NamedTuple):
    """A model at an endpoint, written ``ENDPOINT/MODEL``."""

    endpoint: str
    model: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``ENDPOINT/MODEL``; the model's own name may have slashes too.

        >>> Target.parse("local/meta/llama-3")
        Target(endpoint='local', model='meta/llama-3')

        Raises:
            InvalidInput: it has another form.
        """
        endpoint, _, model = text.partition("/")
        if not (NAME_PATTERN.fullmatch(endpoint) and model and model.isprintable() and len(text) <= 256):
            raise InvalidInput(
                f"{text[:80]!r} names no model. Expected PROVIDER/MODEL, such as openai/gpt-4o-mini, with a "
                f"provider of {FILE}."
            )
        return cls(endpoint, model)

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.model}"


@dataclass(frozen=True, kw_only=True)
class Providers:
    """All providers that this installation knows, by name."""

    providers: dict[str, Provider] = field(default_factory=dict)

    def get(self, name: str) -> Provider:
        """The provider of this name.

        Raises:
            NotFound: there is none; the message lists those that there are.
        """
        found = self.providers.get(name)
        if found is None:
            raise NotFound(undeclared(name, self.providers))
        return found

    def endpoints(self) -> dict[str, Endpoint]:
        """Where each is reached, by name."""
        return {name: provider.endpoint(name) for name, provider in self.providers.items()}

    def targets(self) -> list[Target]:
        """Every model that may be called; ``*`` for those of a provider that answers for any."""
        return [
            Target(name, model)
            for name, provider in sorted(self.providers.items())
            for model in [one.name for one in provider.models] or ([] if provider.is_external else ["*"])
        ]

    def model(self, target: Target) -> ProviderModel:
        """What is known of a model; nothing but its name where it was not declared.

        Raises:
            NotFound: its provider is not known.
        """
        declared = self.get(target.endpoint).models
        return next((m for m in declared if m.name == target.model), ProviderModel(name=target.model))


def undeclared(name: str, declared: Iterable[str]) -> str:
    """That a provider is not declared, and what to do.

    >>> undeclared("local", [])[:68]
    "There is no provider 'local' (has: none). Declare it in providers.ya"
    """
    known = ", ".join(sorted(declared)) or "none"
    return (
        f"There is no provider {name[:64]!r} (has: {known}). Declare it in {FILE}. A server reads that file "
        "when it starts: restart 'headrace up' after a change."
    )


def read_providers(path: Path) -> Providers:
    """What the file ``path`` declares; no provider at all if there is no file.

    Raises:
        InvalidInput: it cannot be read, or contradicts itself; each mistake with line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Providers()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read ({error}). Expected a UTF-8 text.") from error
    return parse_providers(text, str(path))


def parse_providers(text: str, name: str = FILE) -> Providers:
    """What ``text`` declares, as :func:`read_providers` does.

    >>> text = "providers: {local: {url: 'http://127.0.0.1:8000/v1', terms: {self_hosted: true}}}"
    >>> parse_providers(text).get("local").terms.self_hosted
    True
    """
    return read_typed(
        text,
        Providers,
        name,
        broken=_broken,
        expected="providers: and below it each with its url.",
        next_step="See docs/reference/providers.md.",
    )


def _broken(read: Providers) -> Iterator[BrokenRule]:
    for name, provider in read.providers.items():
        for key, text in _wrong(name, provider):
            yield BrokenRule(loc=("providers", name, *key), text=text)


def _wrong(name: str, provider: Provider) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not NAME_PATTERN.fullmatch(name):
        yield (), f"{name[:64]!r} is no name: expected a lower-case letter, then letters, digits, '-' or '_'"
    plain = provider.plain_http and provider.terms.self_hosted and _PLAIN.fullmatch(provider.url)
    if not (is_safe_address(provider.url) or plain):
        shown = provider.url.rpartition("@")[2][:200]  # a password is before it
        text = f"{shown!r} is no address; expected https://HOST/v1, or http:// on this machine"
        yield ("url",), f"{text} (elsewhere with plain_http: true and terms: {{self_hosted: true}})"
    if provider.key_header and not _HEADER.fullmatch(provider.key_header):
        yield ("key_header",), f"{provider.key_header[:64]!r} is no name of a header"
    for key in ("connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "total_timeout_s"):
        if not 0 < getattr(provider, key) <= _LONGEST_S:
            yield (
                (key,),
                f"it is {getattr(provider, key):g}: expected above 0, at most {_LONGEST_S:g} seconds",
            )
    if not 1 <= provider.max_connections <= _MOST_CONNECTIONS:
        yield ("max_connections",), f"it is {provider.max_connections}: expected 1 to {_MOST_CONNECTIONS}"
    if provider.terms.retains_days is not None and provider.terms.retains_days < 0:
        yield ("terms", "retains_days"), f"it is {provider.terms.retains_days}: expected 0 or more"
    names = [model.name for model in provider.models]
    for index, model in enumerate(names):
        if model in names[:index]:
            yield ("models", index), f"{model!r} is declared twice"
