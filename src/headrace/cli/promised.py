"""``headrace project fit | goals | readiness | map | value | assets``: promises, and what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.business.portfolio import portfolio
from headrace.app.business.value import value
from headrace.app.data.assets import Kind, assets
from headrace.app.overviews.goals import goals
from headrace.app.overviews.lifecycle import stages
from headrace.app.overviews.readiness import Readiness, readiness
from headrace.app.overviews.stalls import lifecycle_map
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.monitoring.value import amount
from headrace.monitoring.wording import lasting
from headrace.projects.charter import CHARTER, load_project
from headrace.projects.fit import Inputs, Problem, Rules, problem_of, recommend
from headrace.projects.guidance import choices
from headrace.projects.intake import Output

_SAID = {
    "rule": "A rule fits.",
    "classical": "A model that learns from examples fits: classical machine learning.",
    "generative": "A generative model fits.",
    "collect": "No model fits yet: collect examples first.",
    "undecided": "It cannot be said yet.",
}
_QUESTIONS = {
    "output": "--output: what is an answer: number, category, ranking, text or actions?",
    "inputs": "--inputs: what is it made from: table, text or images?",
    "rules": "--rules: how much of it can an expert write down: none, some or all?",
    "examples": "--examples: how many right answers are known?",
    "exact": "--exact or --open: must the same question always have the same, checkable answer?",
}


def show_fit(
    output: Annotated[Output | None, typer.Option(help="What an answer is.")] = None,
    inputs: Annotated[Inputs | None, typer.Option(help="What it is made from.")] = None,
    rules: Annotated[Rules | None, typer.Option(help="How much of it an expert can write down.")] = None,
    examples: Annotated[int | None, typer.Option(min=0, help="How many right answers are known.")] = None,
    exact: Annotated[
        bool | None,
        typer.Option("--exact/--open", help="Whether the same question must always have the same answer."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether a rule, a model that learns or a generative one fits a problem, and why.

    In a project's folder its headrace.yaml answers; an option answers otherwise. Elsewhere the options do.
    """
    known = problem_of(load_project(Path.cwd())) if (Path.cwd() / CHARTER).is_file() else Problem()
    problem = Problem(
        output=known.output if output is None else output,
        inputs=known.inputs if inputs is None else inputs,
        rules=known.rules if rules is None else rules,
        examples=known.examples if examples is None else examples,
        exact=known.exact if exact is None else exact,
    )
    found = recommend(problem)
    if as_json:
        print_json({"problem": problem, "recommendation": found})
        return
    say(_SAID[found.approach])
    for reason in found.reasons:
        say(f"  {reason}")
    for name in found.missing:
        say(f"  not answered: {_QUESTIONS[name]}")


def show_choices(as_json: Json = False) -> None:
    """Say what the project in this folder has chosen and why: algorithms, evaluation, monitoring, rollout."""
    found = choices(load_project(Path.cwd()))
    if as_json:
        print_json(found)
        return
    print_table(
        ("FOR", "CHOSEN", "BECAUSE", "CHANGE IT AT"),
        [(one.about, one.chosen, one.why, one.key) for one in found],
        empty="",
    )


def show_goals(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List what a project is held to, for all roles: each goal as headrace.yaml defines it."""
    with session(as_name) as s:
        found = goals(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("GOAL", "WHAT", "MUST BE", "WHO ACTS FIRST"),
        [(one.name, one.what, one.said, ", ".join(one.roles)) for one in found],
        empty="",
    )


def show_stages(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show where a project stands on the loop from declare to decide, and whose work each stage is."""
    with session(as_name) as s:
        found = stages(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("STAGE", "STATE", "WHAT", "WHO"),
        [(one.name, one.state, one.detail, ", ".join(one.people)) for one in found],
        empty="",
    )


def list_assets(
    search: Annotated[list[str] | None, typer.Argument(help="Words that all have to occur.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only these.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Search what projects have that you may use again: data, feature sets, pipelines, templates."""
    with session(as_name) as s:
        found = assets(s.app, s.me, " ".join(search or []), kind)
    if as_json:
        print_json(found)
        return
    print_table(
        ("KIND", "NAME", "VERSION", "OWNER", "USED BY", "WHAT", "TO USE IT"),
        [
            (one.kind, one.name, one.version, one.owner, ", ".join(one.used_by), one.text, one.reuse)
            for one in found
        ],
        empty="Nothing that you may see, or nothing with these words.",
    )


def show_readiness(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Score how ready a project is for production, and name each gap with its evidence and next step.

    Evaluation and observability are judged from what is on record alone.
    """
    with session(as_name) as s:
        found = readiness(s.app, s.me, project)
    if as_json:
        print_json({**vars(found), "gaps": len(found.gaps)})
        return
    looked_at = found.release or "no release yet"
    say(f"{found.project} ({looked_at}): {found.total.points:g} of {found.total.of} points")
    for area, points in found.scores.items():
        say(f"  {area:<14} {points.points:g} of {points.of}")
    _print_gaps(found)
    _print_stages(found)


def _print_gaps(found: Readiness) -> None:
    for one in found.gaps:
        say(f"  {one.status:<13} {one.area}, {one.name}: {one.evidence}")
        if one.next_step:
            say(f"      next: {one.next_step}")
    if not found.gaps:
        say("  no gap")


def _print_stages(found: Readiness) -> None:
    say("")
    print_table(
        ("STAGE", "BUSINESS", "ENGINEERING", "NAMED", "ABLE", "BEFORE THE HAND-OFF"),
        [
            (
                one.name, one.business, one.engineering, "yes" if one.named else "no",
                "" if one.n_able is None else ", ".join(one.able) or str(one.n_able or "nobody"),
                "; ".join((*one.checked, *one.agreed)),
            )
            for one in found.stages
        ],
        empty="",
    )  # fmt: skip


def show_map(as_name: As = None, as_json: Json = False) -> None:
    """Where projects stand between notebook and production: how many in each stage, and which stall there."""
    with session(as_name) as s:
        found = lifecycle_map(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("STAGE", "PROJECTS", "STALLED", "MEDIAN WAIT"),
        [
            (
                one.stage,
                str(one.n_projects),
                str(one.n_stalled),
                "" if one.median_s is None else lasting(one.median_s),
            )
            for one in found.stages
        ],
        empty="",
    )
    say("")
    print_table(
        ("PROJECT", "STAGE", "WAITS", "STALLED", "WHY"),
        [
            (
                one.project, one.stage, "" if one.waits_s is None else lasting(one.waits_s),
                "yes" if one.stalled else "", one.why,
            )
            for one in found.projects
        ],
        empty="No project yet. Make one with 'headrace init'.",
    )  # fmt: skip


def show_value(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """What the model was really worth in its first 12 months, by month, beside what was expected of it."""
    with session(as_name) as s:
        found = value(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    said = {"above": "more than expected", "below": "less than expected"}
    say(f"{project}: {said.get(found.conclusion, found.conclusion)}. {found.why}.")
    if found.case is None or not found.months:
        return
    print_table(
        (
            "MONTH", "FROM", "REALISED", "BETWEEN", "EXPECTED", "SO FAR", "EXPECTED SO FAR", "ANSWERS",
            "TOLD OF",
        ),
        [
            (
                str(one.number), f"{one.start:%Y-%m-%d}", _amount(one.realised), _between(one.interval),
                _amount(one.expected), _amount(one.so_far), _amount(one.expected_so_far),
                f"{one.n_answers:,}", f"{one.n_covered:,}",
            )
            for one in found.months
        ],
        empty="",
    )  # fmt: skip
    say(f"In {found.case.unit}; intervals hold at {found.confidence or 0:.0%} for one look.")


def _amount(known: float | None) -> str:
    return "not measured" if known is None else amount(known)


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{amount(interval[0])} to {amount(interval[1])}"


def show_portfolio(as_name: As = None, as_json: Json = False) -> None:
    """All models, developed and deployed, with their risk: the most valuable first, and why."""
    with session(as_name) as s:
        found = portfolio(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("RANK", "PROJECT", "RISK", "OWNER", "STAGE", "HEALTH", "PROMISED", "REALISED", "WHY"),
        [
            (
                "" if one.rank is None else str(one.rank), one.project, one.risk, one.owner,
                one.stage + (" (stalled)" if one.stalled else ""), one.health,
                "" if one.promised is None else f"{amount(one.promised)} {one.unit} in {one.months} months",
                "" if one.realised is None else f"{amount(one.realised)} {one.unit}", one.why,
            )
            for one in found
        ],
        empty="No project yet. Make one with 'headrace init'.",
    )  # fmt: skip
