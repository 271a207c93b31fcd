"""Why a project was taken on: the section ``intake`` of a charter, and who is admitted to training."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, cast, get_args

from headrace.core.errors import GateFailed, InvalidInput
from headrace.core.project import Project
from headrace.projects.rules import BrokenRule, is_answered
from headrace.projects.texts import typed_part

StageName = Literal["declare", "build", "prove", "approve", "roll out", "operate"]
Kind = Literal["nothing", "people", "rule", "statistics", "classical", "generative", "bought"]
Output = Literal["number", "category", "ranking", "text", "actions"]
AiAct = Literal["minimal", "limited", "high", "prohibited"]
STAGES: tuple[StageName, ...] = ("declare", "build", "prove", "approve", "roll out", "operate")
"""Of a model's life, in their order."""
ASSUMED = "Assumed: "
"""How each answer begins that ``headrace init`` has filled in."""
_EARLIER_PLACEHOLDER = "edit: what is it worth?"
_MOST_MONTHS = 120
_MOST_EXPECTED = 1e15
_EXPECTED = re.compile(r"(\d+(?:\.\d+)?)\s+(\S.{0,20}?)\s+in\s+(\d{1,3})\s+months?")


@dataclass(frozen=True, kw_only=True)
class ValueCase:
    """What the model is expected to be worth, and by which KPI it will be seen.

    Attributes:
        expected: value over ``months`` months of production, in ``unit``, such as EUR or hours.
        cost: what it costs to build and run over the same time, in the same unit.
        kpi: one of ``kpis``, from which the realised value is measured.
        worth: what one unit of that KPI is worth in ``unit``: one event of a share, or 1 of a value.
        without: what the KPI would be without the model.
    """

    expected: float
    unit: str
    months: int = 12
    cost: float = 0.0
    kpi: str | None = None
    worth: float = 1.0
    without: float = 0.0

    @property
    def roi(self) -> float | None:
        """Return on investment: what is left after the cost, as a share of it; None where nothing is spent.

        >>> ValueCase(expected=30_000, unit="EUR", cost=20_000).roi
        0.5
        """
        return (self.expected - self.cost) / self.cost if self.cost else None


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Something simpler that was considered or tried, and what it reached."""

    name: str
    kind: Kind
    reached: str


@dataclass(frozen=True, kw_only=True)
class Need:
    """Why a model is needed at all, and what is known of the problem.

    Attributes:
        why: why something simpler is not enough.
        complexity: of building and keeping it, as far as it can be told before it is begun.
        output: what an answer is; by the task unless it is said here.
        rules: how much of the answer an expert can write down as rules that hold for a year.
        examples: rows or documents whose right answer is known.
        exact: whether the same question must always have the same, checkable answer.
    """

    why: str
    complexity: Literal["low", "medium", "high"]
    alternatives: tuple[Alternative, ...] = ()
    output: Output | None = None
    rules: Literal["none", "some", "all"] | None = None
    examples: int | None = None
    exact: bool | None = None


@dataclass(frozen=True, kw_only=True)
class StageOwner:
    """Who owns a stage of the life of the model, by the names of ``owner`` and ``team``.

    Attributes:
        handoff: what must hold before the next stage takes over, beside what Headrace checks by itself.
    """

    stage: StageName
    business: str
    engineering: str
    handoff: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """Whether the organisation can feed a model and use its answers.

    Attributes:
        data: how the data is got: not at all yet, by hand, or by itself.
        labels: how the truth comes back: never, now and then, or as part of the work.
        process: how the work that it changes is done: each time another way, the same way, or measured.
        people: those who use the answers: not told yet, told, or trained.
        after: who keeps it running after the first release: nobody, whoever built it, or a team.
    """

    data: Literal["none", "by_hand", "automatic"] | None = None
    labels: Literal["none", "some", "routine"] | None = None
    process: Literal["ad_hoc", "repeated", "measured"] | None = None
    people: Literal["none", "informed", "trained"] | None = None
    after: Literal["none", "builder", "team"] | None = None


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The section ``intake`` of a charter; each part can be left out, and is then shown as not answered.

    Attributes:
        ai_act: class by the EU's AI Act (Regulation 2024/1689): ``prohibited`` (article 5), ``high``
            (article 6), ``limited`` (article 50) or ``minimal``.
        ai_act_because: why it is of this class.
    """

    value: ValueCase | None = None
    need: Need | None = None
    stages: tuple[StageOwner, ...] = ()
    organisation: Organisation = Organisation()
    ai_act: AiAct | None = None
    ai_act_because: str = ""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that is not there: what, and how to put it there."""

    name: str
    text: str
    next_step: str


def intake_of(project: Project) -> Intake:
    """What the project says of its intake.

    >>> from headrace.testing import make_project
    >>> intake_of(make_project(intake={"ai_act": "minimal"})).ai_act
    'minimal'

    Raises:
        InvalidInput: it was kept by another version of Headrace, and cannot be read by this one.
    """
    problems, found = typed_part(project.intake, Intake, "intake")
    if found is None:
        raise InvalidInput(f"The intake of {project.name!r} cannot be read: {problems[0].text}. Mend it.")
    return found


def intake_mistakes(project: Project) -> Iterator[BrokenRule]:
    """What the section must not say: wrong types, contradictions, names that nobody has."""
    problems, intake = typed_part(project.intake, Intake, "intake")
    yield from problems
    if intake is None:
        return
    if intake.value is not None:
        yield from _value(project, intake.value)
    if intake.need is not None:
        yield from _need(intake.need)
    yield from _stages(project, intake.stages)
    if intake.ai_act == "high" and project.risk != "high":
        text = f"high by the AI Act, but risk is {project.risk}: set risk: high"
        yield BrokenRule(loc=("intake", "ai_act"), text=text)


def _value(project: Project, case: ValueCase) -> Iterator[BrokenRule]:
    place = ("intake", "value")
    for name, low in (("expected", True), ("cost", True), ("worth", False), ("without", False)):
        number = getattr(case, name)
        if not isfinite(number) or (low and number < 0) or (name in ("expected", "worth") and number == 0):
            wanted = "a number other than 0" if name == "worth" else "a number, 0 or more"
            wanted = "a number above 0" if name == "expected" else wanted
            yield BrokenRule(loc=(*place, name), text=f"{name} is {number}: expected {wanted}")
    if not 1 <= case.months <= _MOST_MONTHS:
        text = f"months is {case.months}: expected 1 to {_MOST_MONTHS}"
        yield BrokenRule(loc=(*place, "months"), text=text)
    if not is_answered(case.unit):
        yield BrokenRule(loc=(*place, "unit"), text="name the unit, such as EUR or hours")
    if case.kpi is None:
        return
    known = {kpi.name: kpi for kpi in project.kpis}
    if case.kpi not in known:
        listed = ", ".join(known) or "none"
        text = f"{case.kpi!r} is none of kpis (known: {listed}): declare it there, or leave it out"
        yield BrokenRule(loc=(*place, "kpi"), text=text)
    elif known[case.kpi].measure == "deviation":
        text = f"{case.kpi!r} says how far people deviate from answers, which is worth nothing by itself"
        yield BrokenRule(loc=(*place, "kpi"), text=text)


def _need(need: Need) -> Iterator[BrokenRule]:
    place = ("intake", "need")
    if not is_answered(need.why):
        yield BrokenRule(loc=(*place, "why"), text="say why something simpler is not enough")
    for index, one in enumerate(need.alternatives):
        for name in ("name", "reached"):
            if not is_answered(getattr(one, name)):
                text = f"say what it {'is' if name == 'name' else 'reached, such as MAE 4.1 or not tried'}"
                yield BrokenRule(loc=(*place, "alternatives", index, name), text=text)
    if need.examples is not None and need.examples < 0:
        text = f"examples is {need.examples}: expected 0 or more"
        yield BrokenRule(loc=(*place, "examples"), text=text)


def _stages(project: Project, stages: Sequence[StageOwner]) -> Iterator[BrokenRule]:
    known = [project.owner.name, *(one.name for one in project.team)]
    seen: set[str] = set()
    for index, one in enumerate(stages):
        place = ("intake", "stages", index)
        if one.stage in seen:
            yield BrokenRule(loc=(*place, "stage"), text=f"{one.stage!r} is listed twice")
        seen.add(one.stage)
        for side in ("business", "engineering"):
            name = getattr(one, side)
            if name not in known:
                text = f"{name!r} is neither the owner nor in the team (known: {', '.join(known)})"
                yield BrokenRule(loc=(*place, side), text=text)
        for place_in, criterion in enumerate(one.handoff):
            if not is_answered(criterion):
                text = "a criterion says nothing"
                yield BrokenRule(loc=(*place, "handoff", place_in), text=text)


def stated(text: str) -> bool:
    """Whether somebody has said it: neither empty nor what a template stands in with."""
    return is_answered(text) and not text.startswith(ASSUMED) and _EARLIER_PLACEHOLDER not in text


def not_admitted(project: Project) -> list[Gap]:
    """What has to be said before anything is trained; empty once the use case is admitted.

    Everybody says what it is worth and how that will be seen. At a low or medium risk it may be assumed, if
    the charter lists it as assumed; a high risk states it, with a number, why a model is needed
    and what simpler was considered (below that :func:`need_gaps` says so), who
    owns each stage, whether the organisation is ready, and its class by the AI Act. Whether the organisation
    is ready is also said at any risk where the model is an advanced one: of high complexity, or generative.
    """
    grave = project.risk == "high"
    gaps = []
    for name, what in (("hypothesis", "what the model is worth"), ("kpi", "how its worth will be seen")):
        text: str = getattr(project.value, name)
        assumed = name in project.governance.assumed
        if not is_answered(text) or (not stated(text) and not assumed) or (grave and assumed):
            said = "only assumed" if assumed else "not answered" if not is_answered(text) else "a placeholder"
            step = f"write {what} into value.{name}" + (
                f", and take {name} off governance.assumed" if assumed else ""
            )
            gaps.append(Gap(name=f"value.{name}", text=said, next_step=step))
    intake = intake_of(project)
    if intake.ai_act == "prohibited":
        step = "do not build it; article 5 of the AI Act forbids the practice"
        gaps.append(Gap(name="intake.ai_act", text="prohibited", next_step=step))
    if grave:
        gaps += [*_grave_gaps(intake), *need_gaps(project)]
    if grave or _is_advanced(intake.need):
        gaps += _organisation_gaps(intake.organisation)
    return gaps


def need_gaps(project: Project) -> list[Gap]:
    """What has not been said of whether a model is needed at all: why something simpler is not enough, how
    complex it will be, and which simpler ways were considered.

    What ``headrace init`` has assumed counts as said below a high risk, if the charter lists it as assumed.
    """
    need, assumed = intake_of(project).need, "need" in project.governance.assumed
    if need is None:
        step = "add intake.need with why, complexity and the alternatives that were considered"
        return [Gap(name="intake.need", text="not answered", next_step=step)]
    gaps = []
    if (project.risk == "high" and assumed) or not (stated(need.why) or assumed):
        said = "only assumed" if assumed else "a placeholder"
        step = "say in intake.need.why why something simpler is not enough" + (
            ", and take need off governance.assumed" if assumed else ""
        )
        gaps.append(Gap(name="intake.need.why", text=said, next_step=step))
    if not need.alternatives:
        step = "list at least one, with what it reached; one may be to change nothing"
        gaps.append(
            Gap(name="intake.need.alternatives", text="nothing simpler was considered", next_step=step)
        )
    return gaps


def _is_advanced(need: Need | None) -> bool:
    return need is not None and (need.complexity == "high" or need.output in ("text", "actions"))


def _grave_gaps(intake: Intake) -> Iterator[Gap]:
    if intake.value is None:
        step = "add intake.value with expected, unit and months"
        yield Gap(name="intake.value", text="no expected number", next_step=step)
    named = {one.stage for one in intake.stages}
    missing = [stage for stage in STAGES if stage not in named]
    if missing:
        step = "add them to intake.stages, each with an owner from business and one from engineering"
        yield Gap(name="intake.stages", text=f"nobody named for {', '.join(missing)}", next_step=step)
    if intake.ai_act is None:
        step = "set it to minimal, limited or high"
        yield Gap(name="intake.ai_act", text="not answered", next_step=step)


def _organisation_gaps(organisation: Organisation) -> Iterator[Gap]:
    unanswered = [name for name, answer in vars(organisation).items() if answer is None]
    if unanswered:
        step = "answer them in intake.organisation"
        yield Gap(name="intake.organisation", text=f"no answer: {', '.join(unanswered)}", next_step=step)


def require_admission(project: Project, *, is_first: bool = False) -> None:
    """Return if the use case is admitted.

    Args:
        is_first: nothing of it was built yet. Whether a model is needed is then asked at a medium risk too;
            what was begun before that was asked goes on.

    Raises:
        GateFailed: it is not; the message names each gap and the next step.
    """
    gaps = not_admitted(project)
    if is_first and project.risk == "medium":
        gaps += need_gaps(project)
    if gaps:
        listed = "\n".join(f"  {gap.name}: {gap.text}. Next: {gap.next_step}" for gap in gaps)
        raise GateFailed(
            f"Project {project.name!r} is not admitted to training: what it promises, or why it needs a "
            f"model, is not said.\n{listed}\n"
            "Mend headrace.yaml and run 'headrace run' again."
        )


def read_alternative(text: str) -> Alternative:
    """A simpler way that was considered, as a person types it: what kind it is, its name, what it reached.

    >>> read_alternative("rule list price: MAE 2100 EUR")
    Alternative(name='list price', kind='rule', reached='MAE 2100 EUR')

    Raises:
        InvalidInput: it has another form.
    """
    before, _, reached = text.partition(":")
    kind, _, name = before.strip().partition(" ")
    if kind not in get_args(Kind) or not (name.strip() and reached.strip()):
        raise InvalidInput(
            f"The simpler way is {text[:60]!r}. Expected its kind, its name and what it reached, such as "
            f"'rule list price: MAE 2100 EUR'. Kinds: {', '.join(get_args(Kind))}."
        )
    return Alternative(name=name.strip(), kind=cast(Kind, kind), reached=reached.strip())


def read_expected(text: str) -> ValueCase:
    """The number of a value hypothesis, as a person types it.

    >>> read_expected("12000 EUR in 12 months")
    ValueCase(expected=12000.0, unit='EUR', months=12, cost=0.0, kpi=None, worth=1.0, without=0.0)

    Raises:
        InvalidInput: it has another form.
    """
    found = _EXPECTED.fullmatch(text.strip())
    if (
        found is None
        or not 1 <= int(found[3]) <= _MOST_MONTHS
        or not 0 < abs(float(found[1])) <= _MOST_EXPECTED
    ):
        raise InvalidInput(
            f"The expected value is {text[:60]!r}. Expected a number, a unit and a time, such as "
            f"'12000 EUR in 12 months' (up to {_MOST_EXPECTED:,.0f}, 1 to {_MOST_MONTHS} months)."
        )
    return ValueCase(expected=float(found[1]), unit=found[2], months=int(found[3]))
