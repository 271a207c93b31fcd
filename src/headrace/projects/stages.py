"""Who owns each stage of a model's life, and what must hold before the next one takes over."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.project import Project
from headrace.projects.intake import STAGES, StageName, intake_of

CRITERIA: dict[StageName, tuple[str, ...]] = {
    "declare": ("the value hypothesis and its KPI are said", "every control of the risk tier is met"),
    "build": ("the data gate has passed", "a variant was trained and can be rebuilt from its record"),
    "prove": (
        "the gates on model, baseline, champion and package have passed",
        "the flight check, the controls and consumers' contracts are kept",
    ),
    "approve": ("as many people as the risk asks for have approved it, none of them its author",),
    "roll out": ("the canary was promoted, and no service level was broken",),
    "operate": ("alerts are answered, and the periodic review is not overdue",),
}
"""What Headrace checks by itself before each hand-off, in words."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a project's life.

    Attributes:
        business, engineering: the names that answer for it; of a stage that nobody was named for, the
            project's owner on both sides.
        named: whether the charter names them.
        checked: criteria that Headrace checks by itself; ``agreed``: those that the project adds.
    """

    name: StageName
    business: str
    engineering: str
    named: bool
    checked: tuple[str, ...]
    agreed: tuple[str, ...] = ()


def stages_of(project: Project) -> list[Stage]:
    """Every stage, in its order, whether or not the charter names somebody for it.

    >>> from headrace.testing import make_project
    >>> [stage.name for stage in stages_of(make_project()) if stage.named]
    []
    """
    given = {one.stage: one for one in intake_of(project).stages}
    found = []
    for name in STAGES:
        one, owner = given.get(name), project.owner.name
        found.append(
            Stage(
                name=name,
                business=owner if one is None else one.business,
                engineering=owner if one is None else one.engineering,
                named=one is not None,
                checked=CRITERIA[name],
                agreed=() if one is None else one.handoff,
            )
        )
    return found
