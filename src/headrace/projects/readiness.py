"""How ready a project is: what is there, by which evidence, what is not, and what to do about it.

What people say stands here; what is on record is added by :mod:`headrace.app.overviews.readiness`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.core.project import Project
from headrace.projects.fit import problem_of, recommend
from headrace.projects.intake import Organisation, ValueCase, intake_of, need_gaps, not_admitted
from headrace.projects.stages import stages_of

Area = Literal["value", "need", "owners", "organisation", "law", "evaluation", "observability"]
AREAS: tuple[Area, ...] = (
    "value", "need", "owners", "organisation", "law", "evaluation", "observability"
)  # fmt: skip
Status = Literal["there", "partly", "missing", "not answered"]
_POINTS: dict[Status, float] = {"there": 1.0, "partly": 0.5, "missing": 0.0, "not answered": 0.0}


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """One thing that a project needs before its model can be relied on.

    Attributes:
        evidence: what shows it, or that it is not there; ``not answered`` where only a person can say.
        next_step: how to get there; empty once it is.
        rmf: the subcategory of the NIST AI Risk Management Framework 1.0 that asks for it.
    """

    area: Area
    name: str
    status: Status
    evidence: str
    next_step: str
    rmf: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """Points of an area, or of all: 1 for what is there, a half for what is partly there."""

    points: float
    of: int

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 of nothing."""
        return self.points / self.of if self.of else 0.0


def score(aspects: Sequence[Aspect]) -> Score:
    """The points that these aspects give.

    >>> score([]).share
    0.0
    """
    return Score(points=sum(_POINTS[one.status] for one in aspects), of=len(aspects))


def there(area: Area, name: str, evidence: str, rmf: str) -> Aspect:
    """An aspect that is there, by this evidence."""
    return Aspect(area=area, name=name, status="there", evidence=evidence, next_step="", rmf=rmf)


def gap(area: Area, name: str, status: Status, evidence: str, next_step: str, rmf: str) -> Aspect:
    """An aspect that is not wholly there."""
    return Aspect(area=area, name=name, status=status, evidence=evidence, next_step=next_step, rmf=rmf)


def said(project: Project) -> list[Aspect]:
    """What the charter says of value, need, owners, organisation and law.

    >>> from headrace.testing import make_project
    >>> [one.name for one in said(make_project()) if one.status == "there"]
    ['hypothesis', 'KPI', 'lawful basis']
    """
    intake = intake_of(project)
    return [
        *_value(project, intake.value),
        *_need(project),
        *_owners(project),
        *_organisation(intake.organisation),
        *_law(project),
    ]


def _value(project: Project, case: ValueCase | None) -> Iterator[Aspect]:
    gaps = {one.name: one for one in not_admitted(project)}
    for name, label in (("hypothesis", "hypothesis"), ("kpi", "KPI")):
        missing = gaps.get(f"value.{name}")
        if missing is not None:
            yield gap("value", label, "not answered", missing.text, missing.next_step, "MAP 1.4")
        elif name in project.governance.assumed:
            step = f"write it into value.{name}, and take {name} off governance.assumed"
            yield gap("value", label, "partly", "assumed by headrace init", step, "MAP 1.4")
        else:
            yield there("value", label, getattr(project.value, name), "MAP 1.4")
    if case is None:
        step = "say how much, and in which time, in intake.value"
        yield gap("value", "expected value", "not answered", "not answered", step, "MAP 3.1")
        return
    roi = "" if case.roi is None else f"; return on {case.cost:,.6g} {case.unit}: {case.roi:.0%}"
    text = f"{case.expected:,.6g} {case.unit} in {case.months} months{roi}"
    yield there("value", "expected value", text, "MAP 3.1")
    if case.kpi is None:
        step = "declare a KPI under kpis and name it in intake.value.kpi"
        yield gap("value", "measured by", "not answered", "no KPI measures it", step, "MEASURE 1.1")
    else:
        yield there("value", "measured by", f"KPI {case.kpi}", "MEASURE 1.1")


def _need(project: Project) -> Iterator[Aspect]:
    need = intake_of(project).need
    gaps = {one.name: one for one in need_gaps(project)}
    for name, label, rmf in (("why", "why a model", "MAP 1.1"), ("alternatives", "alternatives", "MAP 2.1")):
        missing = gaps.get("intake.need") or gaps.get(f"intake.need.{name}")
        if need is None or missing is not None:
            text, step = (missing.text, missing.next_step) if missing else ("", "")
            yield gap("need", label, "not answered", text, step, rmf)
        elif name == "alternatives":
            reached = "; ".join(f"{one.name} ({one.kind}): {one.reached}" for one in need.alternatives)
            yield there("need", label, reached, rmf)
        elif "need" in project.governance.assumed:
            step = "say it in intake.need.why, and take need off governance.assumed"
            yield gap("need", label, "partly", "assumed by headrace init", step, rmf)
        else:
            yield there("need", label, f"{need.why} (complexity {need.complexity})", rmf)
    found = recommend(problem_of(project))
    if found.approach == "classical":
        yield there("need", "problem fit", found.reasons[0], "MAP 2.1")
    elif found.approach == "undecided":
        step = f"answer intake.need.{', intake.need.'.join(found.missing)}"
        yield gap("need", "problem fit", "not answered", found.reasons[0], step, "MAP 2.1")
    else:
        step = "headrace project fit says why; add the simpler way as a variant, and compare"
        yield gap("need", "problem fit", "partly", found.reasons[0], step, "MAP 2.1")


def _owners(project: Project) -> Iterator[Aspect]:
    for stage in stages_of(project):
        who = f"business {stage.business}, engineering {stage.engineering}"
        if stage.named:
            yield there("owners", stage.name, who, "GOVERN 2.1")
        else:
            step = f"name both in intake.stages for {stage.name}"
            text = f"nobody is named; the owner {project.owner.name} answers on both sides"
            yield gap("owners", stage.name, "partly", text, step, "GOVERN 2.1")


_ORGANISATION: tuple[tuple[str, str, dict[str, tuple[Status, str]], str], ...] = (
    (
        "data", "data",
        {"none": ("missing", "get the data before a model is built"),
         "by_hand": ("partly", "let it arrive by itself, so that what is live can be retrained"),
         "automatic": ("there", "")},
        "MAP 2.3",
    ),
    (
        "labels", "labels",
        {"none": ("missing", "arrange for the truth to come back: without it no decay is seen"),
         "some": ("partly", "make reporting the truth a part of the work"),
         "routine": ("there", "")},
        "MEASURE 2.4",
    ),
    (
        "process", "process",
        {"ad_hoc": ("missing", "agree how the work is done before a model changes it"),
         "repeated": ("partly", "measure the work, so that the value can be seen against it"),
         "measured": ("there", "")},
        "MAP 3.3",
    ),
    (
        "people", "people who use it",
        {"none": ("missing", "tell those who get the answers what they are and are not"),
         "informed": ("partly", "train them, with answers that are wrong"),
         "trained": ("there", "")},
        "MAP 3.4",
    ),
    (
        "after", "who keeps it running",
        {"none": ("missing", "name a team before the first release"),
         "builder": ("partly", "hand it to a team that can be called"),
         "team": ("there", "")},
        "GOVERN 2.1",
    ),
)  # fmt: skip


def _organisation(answers: Organisation) -> Iterator[Aspect]:
    for field, name, statuses, rmf in _ORGANISATION:
        answer = getattr(answers, field)
        if answer is None:
            step = f"answer intake.organisation.{field}: {', '.join(statuses)}"
            yield gap("organisation", name, "not answered", "not answered", step, rmf)
            continue
        status, step = statuses[answer]
        yield gap("organisation", name, status, answer.replace("_", " "), step, rmf)


def _law(project: Project) -> Iterator[Aspect]:
    intake = intake_of(project)
    if intake.ai_act is None:
        step = "set intake.ai_act to minimal, limited, high or prohibited, and say why"
        yield gap("law", "AI Act", "not answered", "not answered", step, "GOVERN 1.1")
    elif not intake.ai_act_because:
        step = "say why in intake.ai_act_because"
        yield gap("law", "AI Act", "partly", f"{intake.ai_act}; nobody says why", step, "GOVERN 1.1")
    else:
        text = f"{intake.ai_act}: {intake.ai_act_because}"
        yield there("law", "AI Act", text, "GOVERN 1.1")
    basis = project.privacy.basis
    if basis is None:
        step = "state privacy.basis"
        yield gap("law", "lawful basis", "missing", "nobody says why the data may be used", step, "MAP 1.1")
    else:
        yield there("law", "lawful basis", basis.replace("_", " "), "MAP 1.1")
