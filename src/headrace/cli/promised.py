"""``headrace project fit``: what a project is to be worth, and whether it keeps that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.session import Json, print_json, say
from headrace.projects.charter import CHARTER, load_project
from headrace.projects.fit import Inputs, Problem, Rules, problem_of, recommend
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
