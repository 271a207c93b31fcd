"""The risk tier that a project's own answers give it, by points."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.project import Governance, Risk
from headrace.projects.rules import CHOICES

TIERS: tuple[Risk, ...] = ("low", "medium", "high")
_WEIGHTS = {"impact": 2}
_MEDIUM_FROM, _HIGH_FROM = 3, 6


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The least tier that fits, and how many points each answer gave."""

    tier: Risk
    points: dict[str, int]

    @property
    def total(self) -> int:
        """All points."""
        return sum(self.points.values())


def assess(governance: Governance) -> Assessment:
    """The tier of what was answered: each question gives 0 to 2 points, impact twice as many.

    From 3 points on the risk is at least medium, from 6 on high. It is high at once when a model decides by
    itself about something serious, or about people by sensitive data. A question without an answer counts as
    the gravest.

    >>> from headrace.testing.factories import make_governance
    >>> assess(make_governance(automation="recommends", scale="thousands")).tier
    'low'
    """
    points = {
        name: _WEIGHTS.get(name, 1) * _place(choices, getattr(governance, name))
        for name, choices in CHOICES.items()
    }
    total = sum(points.values())
    grave = governance.impact == "serious" or governance.personal_data == "sensitive"
    if total >= _HIGH_FROM or (grave and governance.automation == "decides"):
        return Assessment(tier="high", points=points)
    return Assessment(tier="medium" if total >= _MEDIUM_FROM else "low", points=points)


def _place(choices: tuple[str, ...], answer: str | None) -> int:
    return len(choices) - 1 if answer is None else choices.index(answer)


def covers(declared: Risk, least: Risk) -> bool:
    """Whether the declared tier is at least the other."""
    return TIERS.index(declared) >= TIERS.index(least)
