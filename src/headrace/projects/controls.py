"""The rules of a workspace: which controls a risk tier asks for, and limits that no project may loosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from headrace.core.canonical import digest_bytes
from headrace.core.project import Risk
from headrace.projects.risk import TIERS
from headrace.projects.rules import BrokenRule
from headrace.projects.texts import read_typed

CONTROLS = {
    "accountable-person": "an owner is named who can be called",
    "answers": "who is affected, what could go wrong, fairness and security are answered",
    "tier": "the declared risk is at least the one that the answers give",
    "inputs": "no forbidden column is an input of the model",
    "limits": "gates, monitors and retention are not looser than the workspace allows",
    "documentation": "the data is documented",
    "canary": "a release begins on a share of the traffic",
    "way-back": "the release before it is still kept, so that a rollback is possible",
    "confirmed": "no answer is only assumed",
    "people-approve": "people approve, not the gates",
    "watched": "drift and performance raise alerts",
    "commit": "the code comes from a commit",
    "lawful-basis": "it is stated why the data may be used, and fits what is said about people",
}
"""Everything that a tier may ask for; ``headrace.projects.compliance`` looks at each."""
ALWAYS = ("accountable-person", "answers", "tier")
"""Controls that hold in every tier; no text can take them away."""
_MOST_APPROVALS = 5


@dataclass(frozen=True, kw_only=True)
class Tier:
    """What one risk tier asks for: how many people approve, and which controls hold."""

    approvals: int = 1
    controls: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How loose a project's own gates and monitors may be, and how long it may keep answers."""

    min_rows: int = 1
    min_confidence: float = 0.0
    max_margin: float = 1.0
    max_window_days: float = 3660.0
    max_retention_days: int = 36_600


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What holds for every project of a workspace; what is None is inherited from Headrace's own rules.

    Attributes:
        forbidden_inputs: columns that no model may take as an input, such as protected attributes.
        watched: what a project has to have a trigger for, where the control ``watched`` holds.
    """

    low: Tier | None = None
    medium: Tier | None = None
    high: Tier | None = None
    limits: Limits | None = None
    forbidden_inputs: tuple[str, ...] | None = None
    watched: tuple[Literal["drift", "performance", "labels", "schedule", "code"], ...] | None = None

    def tier(self, risk: Risk) -> Tier:
        """What the tier asks for."""
        found: Tier = getattr(self, risk) or Tier()
        return replace(found, controls=tuple(dict.fromkeys((*ALWAYS, *found.controls))))


@dataclass(frozen=True, kw_only=True)
class InForce:
    """The rules that hold, and which version of which text they come from; version 0 is Headrace's own."""

    rules: Rules
    version: int
    digest: str
    text: str


@cache
def house_rules() -> InForce:
    """What holds where a workspace has no rules of its own."""
    text = Path(__file__).with_name("controls.yaml").read_text(encoding="utf-8")
    return InForce(rules=_read(text), version=0, digest=digest_bytes(text.encode()), text=text)


@lru_cache(maxsize=32)
def read_rules(text: str) -> Rules:
    """The rules that a workspace's text says, with what it does not name from Headrace's own.

    >>> read_rules("forbidden_inputs: [gender]").tier("high").approvals
    2

    Raises:
        InvalidInput: it does not parse, or contradicts itself; each mistake with line and column.
    """
    given, house = _read(text), house_rules().rules
    changes = {name: value for name, value in vars(given).items() if value is not None}
    return replace(house, **changes)


def _read(text: str) -> Rules:
    return read_typed(
        text,
        Rules,
        "The text of the rules",
        broken=_broken,
        expected="a mapping with low, medium, high, limits, forbidden_inputs or watched.",
        next_step="Mend it and propose it again.",
    )


def _broken(rules: Rules) -> Iterator[BrokenRule]:
    before: set[str] = set()
    least = 1
    for risk in TIERS:
        tier: Tier | None = getattr(rules, risk)
        if tier is None:
            continue
        for index, name in enumerate(tier.controls):
            if name not in CONTROLS:
                text = f"{name!r} is no control (known: {', '.join(CONTROLS)})"
                yield BrokenRule(loc=(risk, "controls", index), text=text)
        if not 1 <= tier.approvals <= _MOST_APPROVALS:
            text = f"approvals is {tier.approvals}: expected 1 to {_MOST_APPROVALS}"
            yield BrokenRule(loc=(risk, "approvals"), text=text)
        missing = sorted(before - set(tier.controls) - set(ALWAYS))
        if missing or tier.approvals < least:
            what = f"lacks {', '.join(missing)}" if missing else f"asks for fewer than {least} approvals"
            yield BrokenRule(loc=(risk,), text=f"the graver tier {risk} {what}, which a lighter one has")
        before |= set(tier.controls)
        least = max(least, tier.approvals)
