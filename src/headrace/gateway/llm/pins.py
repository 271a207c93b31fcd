"""Every part of an LLM app that can move, pinned one by one in the manifest of its release.

What is pinned is signed and approved with the release, so that two releases can be compared part by part, and
a call can tell that something under it is no longer what was approved: another address behind a provider's
name, other terms, guards that an upgrade has changed, another model behind an alias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from headrace.access.privacy import recognisers, redacting
from headrace.core.canonical import digest_bytes, digest_of, plain
from headrace.core.errors import NotFound
from headrace.gateway import guardrails
from headrace.gateway.guardrails.guards import Hit
from headrace.gateway.llm.endpoints import Providers, Target
from headrace.gateway.llm.guarding import guardrails_in_force
from headrace.gateway.prompts import Prompt

PIN = "pin "
ANSWERED_BY, FINGERPRINTS, EVALUATION = f"{PIN}answered by", f"{PIN}fingerprints", f"{PIN}evaluation set"
_SHOWN = 32
_LONGEST = 400
_UNSAID: tuple[Any, ...] = (None, "", [])
_NOT_DECLARED = "not declared"


@dataclass(frozen=True)
class Moved:
    """A part that is no longer as it was approved."""

    part: str
    pinned: str
    now: str


def pins_of(prompt: Prompt, providers: Providers, *, personal: bool) -> dict[str, str]:
    """What each part is now, by its name among the parameters of a manifest.

    Args:
        personal: whether the project's data is about people, which decides about its guards.

    >>> pins = pins_of(Prompt(template="Be kind.", models=("a/b",)), Providers(), personal=True)
    >>> pins["pin provider a"], pins["pin model 1"]
    ('not declared', 'a/b')
    """
    pinned: dict[str, str] = {"instructions": _short(digest_of(prompt.template))}
    pinned |= {f"model {place}": model for place, model in enumerate(prompt.models, start=1)}
    pinned |= {f"embeddings {place}": model for place, model in enumerate(prompt.embeddings, start=1)}
    pinned |= {f"moderation {place}": model for place, model in enumerate(prompt.moderations, start=1)}
    pinned |= {f"parameter {name}": _said(value) for name, value in sorted(prompt.parameters.items())}
    pinned |= {f"context {name}": _short(digest_of(text)) for name, text in sorted(prompt.context.items())}
    pinned |= {
        f"agent file {path}": _short(digest_of(text)) for path, text in sorted(prompt.agent_files.items())
    }
    pinned |= {
        f"tool {_name(tool, place)}": _short(digest_of(tool)) for place, tool in enumerate(prompt.tools)
    }
    if prompt.contract is not None:
        pinned["contract"] = _short(digest_of(prompt.contract))
    every = (*prompt.models, *prompt.embeddings, *prompt.moderations)
    for name in sorted({Target.parse(model).endpoint for model in every}):
        pinned |= _provider(providers, name)
    pinned |= guard_pins(prompt, personal=personal, prefix="")
    return {f"{PIN}{name}": value for name, value in pinned.items()}


def guard_pins(prompt: Prompt, *, personal: bool, prefix: str = PIN) -> dict[str, str]:
    """What the guards of a release are: settings of each, those by default among them, weights and code."""
    found = msgspec.to_builtins(guardrails_in_force(prompt, personal=personal))
    settings = {f"{prefix}guard {name}": _short(digest_of(said)) for name, said in found.items() if said}
    return settings | {f"{prefix}{name}": digest for name, digest in _built_in().items()}


def answered_pins(answered: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Who gave the answers of an evaluation: each model's own name and fingerprint, as the provider said it.

    >>> answered_pins([("small-2024-07-18", "fp_1"), ("small-2024-07-18", "fp_2"), ("", "")])
    {'pin answered by': 'small-2024-07-18', 'pin fingerprints': 'fp_1, fp_2'}
    """
    both = list(answered)
    said = {
        ANSWERED_BY: sorted({model for model, _ in both if model}),
        FINGERPRINTS: sorted({fingerprint for _, fingerprint in both if fingerprint}),
    }
    return {name: ", ".join(values)[:_LONGEST] for name, values in said.items() if values}


def is_pinned(params: Mapping[str, Any]) -> bool:
    """Whether a manifest with these parameters pins anything: those of before there were pins do not."""
    return any(name.startswith(PIN) for name in params)


def moved(pinned: Mapping[str, Any], now: Mapping[str, str]) -> tuple[Moved, ...]:
    """The parts that are others ``now`` than they were when the release was made; none where nothing was
    pinned, as in releases of before.

    >>> moved({"pin provider a": "openai https://a.example/v1"}, {"pin provider a": "not declared"})[0].part
    'provider a'
    """
    if not is_pinned(pinned):
        return ()
    beyond = {ANSWERED_BY, FINGERPRINTS, EVALUATION}
    names = [*now, *(name for name in pinned if name.startswith(PIN) and name not in now)]
    return tuple(
        Moved(name.removeprefix(PIN), str(pinned.get(name, "none")), now.get(name, "none"))
        for name in names
        if name not in beyond and pinned.get(name) != now.get(name)
    )


def answering_models(pinned: Mapping[str, Any]) -> frozenset[str]:
    """The models that gave the answers of the evaluation, by their own names; none where nobody knows."""
    said = str(pinned.get(ANSWERED_BY, ""))
    return frozenset(said.split(", ")) if said and len(said) < _LONGEST else frozenset()


def hit_of(part: str) -> Hit:
    """That a part has moved, as what guards find is recorded and counted."""
    kind = part.partition(" ")[0]
    return Hit(
        rule=f"pins.{kind}", layer="input", action="flag", span=(0, 0), detail=f"{part} is another one"
    )


def _provider(providers: Providers, name: str) -> dict[str, str]:
    try:
        found = providers.get(name)
    except NotFound:
        return {f"provider {name}": _NOT_DECLARED}
    return {
        f"provider {name}": f"{found.api} {found.url.rstrip('/')}",
        f"terms {name}": _said(
            {key: value for key, value in plain(found.terms).items() if value not in _UNSAID}
        ),
    }


def _name(tool: Mapping[str, Any], place: int) -> str:
    function = tool.get("function")
    named = function.get("name") if isinstance(function, dict) else tool.get("name")
    return str(named or place + 1)[:64]


def _said(value: Any) -> str:
    """A setting as people read it, or its digest where it is long."""
    text = value if isinstance(value, str) else msgspec.json.encode(plain(value), order="sorted").decode()
    return text if len(text) <= _LONGEST else _short(digest_of(value))


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHOWN]


@lru_cache(maxsize=1)
def _built_in() -> dict[str, str]:
    """The classifier's weights, and the code that guards and recognises."""
    folder = Path(str(guardrails.__file__)).parent
    code = [*sorted(folder.glob("*.py")), *(Path(str(one.__file__)) for one in (recognisers, redacting))]
    return {
        "classifier": _short(digest_bytes((folder / "injection.npz").read_bytes())),
        "guards code": _short(digest_of([digest_bytes(one.read_bytes()) for one in code])),
    }
