"""The flight check: nothing goes live without owner, monitoring, baseline and lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.access.privacy.fields import altered_inputs, unwatched_inputs
from headrace.checks.tasks import GENERATIVE, UNSUPERVISED
from headrace.core.project import Project, Task
from headrace.data.features import REUSED
from headrace.projects.contracts import load_contracts
from headrace.projects.intake import intake_of, need_gaps, not_admitted
from headrace.projects.proofs import proofs_of
from headrace.projects.rules import is_answered

TO_TICK: Mapping[str, Mapping[str, str]] = {
    "supervised": {
        "largest-errors": "the test rows with the largest errors: what they have in common, does it matter",
        "known-in-time": "every input is known before the answer is asked for, in production as in the table",
        "users-told": "whoever acts on the answers knows what changes, and what they are not good for",
    },
    "forecasting": {
        "special-days": "holidays, promotions and outages in the test period: how far off the forecasts were",
        "known-in-time": "every input is known as many days ahead as a forecast is made, also in production",
        "planners-told": "whoever plans by the forecasts knows the horizon, the error, and the limits",
    },
    "unsupervised": {
        "examples-seen": "somebody who knows the rows has looked at examples of each answer",
        "names-agreed": "what each answer means is agreed with whoever acts on it",
        "capacity": "there are people to look at as many rows as will be named",
    },
    "llm": {
        "wrong-answers": "the questions with wrong answers: what they have in common, and whether it matters",
        "background-true": "somebody who knows has read prompt and background: they are true and complete",
        "users-told": "whoever reads the answers knows that a model wrote them, and whom else to ask",
    },
}
"""By template, what only a person can look at; ``headrace init`` writes it as ``proofs.flight``."""


def template_of(task: Task) -> str:
    """The template that a task belongs to, a key of :data:`TO_TICK`.

    >>> template_of("clustering"), template_of("regression")
    ('unsupervised', 'supervised')
    """
    if task == "forecasting":
        return task
    if task in GENERATIVE:
        return "llm"
    return "unsupervised" if task in UNSUPERVISED else "supervised"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the list.

    Attributes:
        ticked: whether it stops nothing.
        next_step: how to tick it.
        there: whether there is anything to it; what need not be there is ticked without.
    """

    name: str
    ticked: bool
    detail: str
    next_step: str = ""
    there: bool = True


def flight_check(project: Project, folder: Path | None = None) -> list[Item]:
    """All that must be in place before a release may go live.

    ``folder`` adds what only the project's files can show: its tests, its source, its consumers' contracts.

    Raises:
        InvalidInput: a contract cannot be used.
    """
    data, monitors = project.data, project.monitors
    items = [
        _item("owner", is_answered(project.owner.name), f"owner {project.owner.name!r}", "fill owner.name"),
        _item(
            "contact",
            is_answered(project.owner.contact),
            f"call {project.owner.contact!r}",
            "fill owner.contact with somebody to call",
        ),
        *_promise(project),
        _item(
            "documentation",
            is_answered(data.documentation),
            "source, meaning and place of the data",
            "fill data.documentation",
        ),
        _item("model gate", True, f"{project.gates.model.metric} against baseline and champion"),
        _item("business metric", True, _business(project), there=bool(_business_metrics(project))),
        _item(
            "monitoring",
            monitors.window_s > 0 and monitors.min_rows > 0,
            f"windows of {monitors.window_s / 86_400:g} days",
            "set monitors.window_s above 0",
        ),
        _item(
            "privacy",
            project.privacy.basis is not None,
            _privacy(project),
            "say in privacy.basis why the data may be collected, such as not_personal",
        ),
        _item(
            "trigger",
            bool(project.triggers),
            ", ".join(f"{trigger.when}: {trigger.do}" for trigger in project.triggers) or "none",
            "declare at least one trigger, such as {when: drift, do: warn}",
        ),
        *_of_template(project),
        _item("rollout", True, _steps(project.rollout.steps)),
        _item("deployment", True, _deployment(project), there=project.deployment is not None),
    ]
    if folder is not None:
        has_tests = any((folder / "tests").glob("test_*.py"))
        items.append(_item("tests", has_tests, "the project's own tests", "add tests/test_*.py"))
        consumers = [one.consumer for one in load_contracts(folder)]
        relied = (
            f"relied on by {', '.join(consumers)}" if consumers else "no consumer has published a contract"
        )
        items.append(_item("contracts", True, relied, there=bool(consumers)))
        is_code = data.source.endswith(".py")
        found = (folder / data.source).exists()
        detail = f"source {data.source!r}"
        items.append(_item("source", found, detail, "write it" if is_code else "put the file there"))
        for one in data.features:
            found = one.source.startswith(REUSED) or (folder / one.source).is_file()
            items.append(_item("features", found, f"{one.name}: {one.source!r}", "put the file there"))
    return items


def _of_template(project: Project) -> Iterator[Item]:
    """What a machine can check of the list that comes with the template."""
    template = template_of(project.task)
    if template == "forecasting":
        ordered = project.split.policy == "sequential"
        said = "tested on later days" if ordered else "tested on days in between those it learnt from"
        yield _item("order of time", ordered, said, "set split.policy: sequential")
    elif template == "unsupervised":
        limited = any(one.max is not None or one.min is not None for one in project.metrics)
        said = "a metric has a limit" if limited else "no metric has a limit, and there are no labels"
        yield _item(
            "quality", limited, said, "declare a metric with a limit, such as {name: stability, min: 0.2}"
        )
    asked = ", ".join(proofs_of(project).flight)
    said = f"{asked or 'nothing'}: by a person, for each release, before it is deployed"
    yield _item("to tick", True, said, there=bool(asked))


def _promise(project: Project) -> list[Item]:
    """What it is worth, by which number, and how much: as far as the risk asks for it."""
    gaps = {gap.name: gap for gap in not_admitted(project)}
    case, assumed = intake_of(project).value, project.governance.assumed
    expected = "no expected number: intake.value says how much, in which time"
    if case is not None:
        expected = f"{case.expected:,.6g} {case.unit} in {case.months} months"
    items = []
    for name, key, detail in (
        ("value", "hypothesis", "value hypothesis"), ("kpi", "kpi", "business KPI"),
    ):  # fmt: skip
        gap = gaps.pop(f"value.{key}", None)
        said = f"{detail}, assumed by headrace init" if key in assumed else detail
        items.append(_item(name, gap is None, said, "" if gap is None else gap.next_step))
    gap = gaps.pop("intake.value", None)
    next_step = "" if gap is None else gap.next_step
    items.append(_item("expected value", gap is None, expected, next_step, there=case is not None))
    items.append(_need(project))
    return items + [_item(one.name, False, one.text, one.next_step) for one in gaps.values()]


def _need(project: Project) -> Item:
    """Whether a model is needed at all; what is missing is also listed below where it stops a build."""
    gaps = need_gaps(project)
    said = "why a model, and what simpler was considered"
    if gaps:
        said = "; ".join(f"{one.name}: {one.text}. Next: {one.next_step}" for one in gaps)
        said = f"no first build before it is answered: {said}" if project.risk == "medium" else said
    elif "need" in project.governance.assumed:
        said += ", assumed by headrace init"
    return _item("need", True, said, there=not gaps)


def _business_metrics(project: Project) -> list[str]:
    return [metric.name for metric in project.metrics if metric.business] + [kpi.name for kpi in project.kpis]


def _business(project: Project) -> str:
    named = _business_metrics(project)
    if named:
        return f"every version is measured by {', '.join(named)}"
    return (
        "none: what an answer is worth is not measured; declare one under kpis, or under metrics with "
        "business: true"
    )


def _privacy(project: Project) -> str:
    """What is promised, and what it costs: inputs that are not kept cannot be measured again."""
    said = f"{project.privacy.basis or 'no basis'}, kept for {project.privacy.retention_days} days"
    altered = altered_inputs(project)
    if not altered:
        return said
    unwatched = unwatched_inputs(project)
    drift = f"no drift of {', '.join(unwatched)} is watched, " if unwatched else ""
    return (
        f"{said}; {', '.join(altered)} not kept as they come: {drift}no canary is judged by labels, "
        "no answer is learnt from"
    )


def _steps(steps: tuple[int, ...]) -> str:
    shares = ", ".join(f"{step} %" for step in steps if step)
    canary = f"canary at {shares or 'no steps'}"
    return canary if 0 not in steps else f"shadow, then {canary}"


def _deployment(project: Project) -> str:
    plan = project.deployment
    if plan is None:
        return "nowhere declared: what is deployed is compared with nothing"
    servers = f"{plan.servers} {'server' if plan.servers == 1 else 'servers'}"
    return f"{plan.target}, {servers} of {plan.processes} on {plan.database}"


def _item(name: str, ticked: bool, detail: str, next_step: str = "", *, there: bool = True) -> Item:
    return Item(name=name, ticked=ticked, detail=detail, next_step="" if ticked else next_step, there=there)
