"""``headrace init``: a working project from a table."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headrace.app.llm.drafts import NOTICE
from headrace.app.llm.prompt_readiness import prompt_gaps
from headrace.app.starting import Made, start_project, start_starter
from headrace.checks.tasks import GENERATIVE
from headrace.cli.session import Json, print_json, say
from headrace.core.errors import InvalidInput, UserError
from headrace.core.project import Risk
from headrace.core.settings import read_settings
from headrace.projects.charter import load_project
from headrace.projects.guidance import GUIDED
from headrace.projects.llm import starts_with_drafts
from headrace.projects.questions import NEEDED, WORTH
from headrace.projects.rules import STATEMENTS

Unsupervised = Literal["anomaly_detection", "clustering"]
WithoutTarget = Annotated[
    Unsupervised | None, typer.Option(help="If unsupervised; anomaly_detection unless you say clustering.")
]

Value = Annotated[str | None, typer.Option(help="What a good answer is worth, and to whom.")]
Kpi = Annotated[str | None, typer.Option(help="By which number that will be seen.")]
Expected = Annotated[
    str | None, typer.Option(help="How much it is to bring, such as '12000 EUR in 12 months'.")
]
Why = Annotated[str | None, typer.Option(help="Why something simpler is not enough.")]
Complexity = Annotated[str | None, typer.Option(help="Of building and keeping it: low, medium or high.")]
Simpler = Annotated[
    str | None,
    typer.Option(help="A simpler way that was considered, such as 'rule list price: MAE 2100 EUR'."),
]
Affected = Annotated[str | None, typer.Option(help="Who is affected by the answers.")]
Harms = Annotated[str | None, typer.Option(help="What could go wrong, and for whom.")]
Fairness = Annotated[str | None, typer.Option(help="Protected attributes considered, or why none.")]
Security = Annotated[str | None, typer.Option(help="How it could be abused.")]
Answer = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Any other answer of governance, such as impact=minor."),
]
Model = Annotated[str, typer.Option(metavar="PROVIDER/MODEL", help="If llm: the model that answers.")]

Explain = Annotated[str | None, typer.Option(help="Whether each answer must be explained: yes or no.")]
Truth = Annotated[
    str | None,
    typer.Option(metavar="DAYS|none", help="After how many days it is known whether an answer was right."),
]
PerDay = Annotated[str | None, typer.Option(metavar="N", help="How many answers a day are expected.")]

app = typer.Typer(add_completion=False)


Starter = Literal["forecast", "xgboost"]


class Template(StrEnum):
    """What kind of model the project is for."""

    supervised = "supervised"
    forecasting = "forecasting"
    unsupervised = "unsupervised"
    llm = "llm"


Kind = Annotated[
    str,
    typer.Option(
        metavar="KIND|PATH|GIT",
        help=f"What kind of model ({', '.join(Template)}), or a template of your own: a folder or an "
        "address of git.",
    ),
]


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the project and of its folder.")],
    data: Annotated[Path | None, typer.Option(help="CSV or Parquet file with the table.")] = None,
    starter: Annotated[
        Starter | None, typer.Option(help="Begin with a made-up table instead: a forecast, or XGBoost.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column to predict; unsupervised needs none.")] = None,
    time: Annotated[str | None, typer.Option(help="Column that says when a row happened.")] = None,
    key: Annotated[str | None, typer.Option(help="Column that names the entity; labels join by it.")] = None,
    template: Kind = Template.supervised,
    task: WithoutTarget = None,
    model: Model = "openai/gpt-4o-mini",
    owner: Annotated[str | None, typer.Option(help="Who answers for it; default: you.")] = None,
    contact: Annotated[str | None, typer.Option(help="E-mail address, URL or number of the owner.")] = None,
    risk: Annotated[Risk, typer.Option(help="Tier; it decides which controls hold.")] = "medium",
    value: Value = None,
    kpi: Kpi = None,
    expected: Expected = None,
    why: Why = None,
    complexity: Complexity = None,
    simpler: Simpler = None,
    affected: Affected = None,
    harms: Harms = None,
    fairness: Fairness = None,
    security: Security = None,
    answer: Answer = None,
    explain: Explain = None,
    truth: Truth = None,
    answers: PerDay = None,
    as_json: Json = False,
) -> None:
    """Make a working project from a CSV or Parquet file.

    Column types, the task, the split, gates and monitors are inferred and written into headrace.yaml,
    where you can change them. What the charter asks about value and people is asked on a terminal, unless
    an option answers it; what nobody answers is assumed and listed as such.
    """
    _check_one(data, starter, known=(target, time, key, template, task))
    statements = dict(zip(STATEMENTS, (affected, harms, fairness, security), strict=True))
    ask = sys.stdin.isatty() and not as_json
    worth = dict(zip((*WORTH, *NEEDED), (value, kpi, expected, why, complexity, simpler), strict=True))
    guided = dict(zip(GUIDED, (explain, truth, answers), strict=True))
    said = _answers(statements, worth, guided, answer or [], ask=ask)
    said |= {"name": name, "owner": owner or read_settings().user, "contact": contact, "risk": risk}
    if starter is not None:
        made = start_starter(Path.cwd(), starter, **said)
    else:
        made = start_project(
            Path.cwd(),
            data=data or Path(),
            target=target,
            time=time,
            key=key,
            forecasting=template == Template.forecasting,
            unsupervised=_unsupervised(template, task),
            model=model if template == Template.llm else None,
            template=None if template in set(Template) else template,
            ask=ask,
            **said,
        )
    _tell(made, target, as_json=as_json, guided=bool(said["guided"]))


def _answers(
    statements: dict[str, str | None],
    worth: dict[str, str | None],
    guided: dict[str, str | None],
    named: list[str],
    *,
    ask: bool,
) -> dict[str, Any]:
    """What was said of governance and worth, after asking on the terminal for what no option has answered."""
    if ask:
        _ask(worth, WORTH | NEEDED)
        _ask(statements, STATEMENTS)
        _ask(guided, GUIDED)
    return {"answers": _said(statements) | _named(named), "worth": _said(worth), "guided": _said(guided)}


def _check_one(data: Path | None, starter: Starter | None, *, known: tuple[str | None, ...]) -> None:
    """A table of one's own, or a starter, which knows its columns and its kind."""
    if (data is None) == (starter is None):
        raise InvalidInput("Give either --data FILE with a table, or --starter with the name of one.")
    if starter is not None and known != (None, None, None, Template.supervised, None):
        raise InvalidInput(f"The starter {starter} knows its columns and its kind. Give it a name alone.")


def _unsupervised(template: str, task: Unsupervised | None) -> Unsupervised | None:
    if task is not None and template in (Template.supervised, Template.forecasting):
        raise InvalidInput(f"--task {task} needs --template unsupervised; else the target says the task.")
    return task or ("anomaly_detection" if template == Template.unsupervised else None)


def _tell(made: Made, target: str | None, *, as_json: bool, guided: bool) -> None:
    """What was made, and what to type next."""
    undeclared, problem = _undeclared(made)
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "task": made.task,
                "metric": made.metric,
                "notes": made.notes,
                "choices": made.choices,
                "undeclared_models": undeclared,
                "problem": problem,
            }
        )
        return
    what = made.task if target is None else f"{made.task} of {target!r}"
    say(f"Made {made.folder.name}/: {what}, judged by {made.metric}.")
    for note in made.notes:
        say(f"  {note}")
    for choice in made.choices if guided else ():
        say(f"  {choice.about}: {choice.chosen}. Because {choice.why} ({choice.key}).")
    if made.task in GENERATIVE and starts_with_drafts(load_project(made.folder)):
        say(NOTICE)
    # The two prompts of a new project ask the same model: once is enough.
    if problem:
        say(f"What its models need could not be looked up: {problem}")
    for gap in undeclared[:1]:
        say(f"Before it runs: {gap}. 'headrace model provider ls' lists what is declared.")
    say(f"Next: cd {made.folder.name} && headrace check && headrace run")


def _said(answers: dict[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in answers.items() if text is not None}


def _ask(answers: dict[str, str | None], questions: dict[str, str]) -> None:
    """Ask what no option has answered; an empty line leaves it to be assumed."""
    for name, question in questions.items():
        if answers[name] is None:
            said = typer.prompt(
                f"{question[0].upper()}{question[1:]}", default="", show_default=False, prompt_suffix=" "
            )
            answers[name] = said.strip() or None


def _named(answers: list[str]) -> dict[str, str]:
    for one in answers:
        if "=" not in one:
            raise InvalidInput(f"--answer is {one!r}. Expected NAME=VALUE, such as impact=minor.")
    return {name.strip(): value.strip() for name, _, value in (one.partition("=") for one in answers)}


def _undeclared(made: Made) -> tuple[tuple[str, ...], str | None]:
    """What the operator has to declare before its prompts can ask their models, or why nobody knows."""
    try:
        return prompt_gaps(read_settings().home, load_project(made.folder), made.folder).undeclared, None
    except UserError as error:  # the project is made, whatever is wrong with the operator's file
        return (), str(error)
