"""All models, developed and deployed, by value and risk: which one first, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from headrace.app.business.value import value
from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.app.overviews.glances import glances
from headrace.app.overviews.stalls import lifecycle_map
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.project import Project, Risk
from headrace.monitoring.value import Conclusion, Realised, amount, unmeasured
from headrace.projects.intake import StageName, ValueCase, intake_of


@dataclass(frozen=True, kw_only=True)
class Line:
    """One project in the portfolio.

    Attributes:
        rank: from 1 on, among those whose value has the same unit; None where no number is expected.
        worth_a_year: what it is ranked by, after its cost: realised where that is known to be more or less
            than promised, else promised.
        promised, realised: in ``unit``; over ``months``, and so far.
        why: of the rank, in words.
    """

    project: str
    owner: str
    risk: Risk
    stage: StageName
    stalled: bool
    health: str
    live: str | None
    unit: str
    promised: float | None
    months: int | None
    realised: float | None
    conclusion: Conclusion
    worth_a_year: float | None
    rank: int | None
    why: str


def portfolio(app: App, me: Principal) -> list[Line]:
    """Every project that ``me`` may see, the most valuable first; those without a number last.

    Values of other units are not compared: each unit has its own ranks, and the one that most projects use
    comes first.
    """
    declared = reading.projects(app, me)
    places = {one.project: one for one in lifecycle_map(app, me).projects}
    lines = []
    for project, glance in zip(declared, glances(app, declared), strict=True):
        case, worth = _worth(app, me, project)
        place = places[project.name]
        a_year, why = _worth_a_year(case, worth)
        lines.append(
            Line(
                project=project.name,
                owner=project.owner.name,
                risk=project.risk,
                stage=place.stage,
                stalled=place.stalled,
                health=glance.health,
                live=glance.live,
                unit="" if case is None else case.unit,
                promised=None if case is None else case.expected,
                months=None if case is None else case.months,
                realised=worth.total,
                conclusion=worth.conclusion,
                worth_a_year=a_year,
                rank=None,
                why=why,
            )
        )
    return _ranked(lines)


def _worth(app: App, me: Principal, project: Project) -> tuple[ValueCase | None, Realised]:
    """What is expected, and what came of it; one charter that cannot be read takes no other's line away."""
    try:
        return intake_of(project).value, value(app, me, project.name)
    except InvalidInput as error:
        return None, unmeasured(project.name, None, str(error))


def _worth_a_year(case: ValueCase | None, worth: Realised) -> tuple[float | None, str]:
    if case is None:
        return None, f"it cannot be ranked: {worth.why}"
    cost = case.cost * 12 / case.months
    after = f" after {amount(cost)} of cost" if cost else ""
    if worth.conclusion in ("above", "below") and worth.total is not None and worth.expected:
        # The hypothesis is a straight line: what it expects so far says how much of a year has passed.
        a_year = worth.total * (case.expected * 12 / case.months) / worth.expected - cost
        than = "more" if worth.conclusion == "above" else "less"
        return a_year, f"realised at {amount(a_year)} {case.unit} a year{after}, {than} than promised"
    a_year = case.expected * 12 / case.months - cost
    return a_year, f"promised {amount(a_year)} {case.unit} a year{after}; realised: {worth.conclusion}"


def _ranked(lines: list[Line]) -> list[Line]:
    users = Counter(one.unit for one in lines if one.worth_a_year is not None)

    def key(one: Line) -> tuple[bool, int, str, float, str]:
        return one.worth_a_year is None, -users[one.unit], one.unit, -(one.worth_a_year or 0.0), one.project

    ranks: Counter[str] = Counter()
    found = []
    for one in sorted(lines, key=key):
        ranks[one.unit] += 1
        found.append(one if one.worth_a_year is None else replace(one, rank=ranks[one.unit]))
    return found
