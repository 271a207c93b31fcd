"""Hosts at which language models are known to answer, and how keys of their providers begin; it is data."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files

import yaml

from headrace.store.documents import convert

FILE = "hosts.yaml"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A provider's hosts.

    Attributes:
        kind: ``API``, ``assistant`` or ``coding assistant``.
        keys: how its keys begin, where they can be told by that.
    """

    provider: str
    kind: str
    hosts: tuple[str, ...]
    keys: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def known() -> tuple[Known, ...]:
    """All that are known, as the file of the package lists them."""
    text = (files("headrace.gateway.llm") / FILE).read_text(encoding="utf-8")
    return convert(yaml.safe_load(text), tuple[Known, ...])


@lru_cache(maxsize=8_192)
def at_host(host: str) -> Known | None:
    """Who answers at a host; None: nobody who is known for language models.

    >>> at_host("api.openai.com").provider
    'OpenAI'
    >>> at_host("notopenai.com") is None
    True
    """
    name = host.lower().rstrip(".")
    labels = name.split(".")
    exact, patterns = _index()
    for at in range(len(labels) - 1):
        found = exact.get(".".join(labels[at:]))
        if found is not None:
            return found
    return next((one for pattern, one in patterns if _matches(labels, pattern)), None)


def of_key(key: str) -> str:
    """Whose key it looks like; empty where nobody can tell.

    >>> of_key("sk-ant-api03-x")
    'Anthropic'
    """
    begins = [(start, one.provider) for one in known() for start in one.keys if key.startswith(start)]
    if begins:
        return max(begins, key=lambda found: len(found[0]))[1]
    return "OpenAI or alike" if key.startswith("sk-") else ""


@lru_cache(maxsize=1)
def _index() -> tuple[dict[str, Known], list[tuple[list[str], Known]]]:
    """Names by which they are found at once, and patterns."""
    pairs = [(host, one) for one in known() for host in one.hosts]
    return {host: one for host, one in pairs if "*" not in host}, [
        (host.split("."), one) for host, one in pairs if "*" in host
    ]


def _matches(labels: list[str], pattern: list[str]) -> bool:
    return len(labels) == len(pattern) and all(map(fnmatchcase, labels, pattern))
