"""``headrace project``: what is known here, leave to deviate from a rule, and the rules themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace.app.governance import controls, waivers
from headrace.app.governance.accountable import accountable
from headrace.app.governance.controls import RULES
from headrace.app.overviews import reading
from headrace.app.overviews.lead_times import STALLED_DAYS, LeadTimes, lead_times
from headrace.app.overviews.lessons import lessons_offered, publish_lesson
from headrace.cli.exits import end_with
from headrace.cli.promised import (
    list_assets,
    show_choices,
    show_fit,
    show_goals,
    show_map,
    show_portfolio,
    show_readiness,
    show_stages,
    show_value,
)
from headrace.cli.reviewed_texts import OneVersion, add_changing, add_looking
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import Conflict, InvalidInput, WaitsForPerson
from headrace.core.release import Waiver
from headrace.monitoring.lead_times import STEPS, LeadTime, people
from headrace.monitoring.wording import lasting
from headrace.projects.blueprints import make_blueprint
from headrace.projects.charter import project_schema
from headrace.projects.contracts import contract_schema
from headrace.projects.deployment_files import render_deployment
from headrace.projects.expert_templates import upgrade_project
from headrace.releases.waivers import Size, missing

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Projects known here, waivers, rules, the charter's schema.",
)
rules = typer.Typer(no_args_is_help=True, help="Rules that every project of the workspace inherits.")
app.add_typer(rules, name="controls")
app.command("fit")(show_fit)
app.command("choices")(show_choices)
app.command("goals")(show_goals)
app.command("lifecycle")(show_stages)
app.command("assets")(list_assets)
app.command("readiness")(show_readiness)
app.command("map")(show_map)
app.command("value")(show_value)
app.command("portfolio")(show_portfolio)
Id = Annotated[str, typer.Argument(metavar="ID", help="The waiver's id, or its first letters.")]
Comment = Annotated[str, typer.Option(help="Why; kept with the decision.")]


@app.command("ls")
def list_projects(as_name: As = None, as_json: Json = False) -> None:
    """List projects."""
    with session(as_name) as s:
        s.app.gatekeeper.require(s.me, "project.read", "project:all")
        projects = reading.projects(s.app, s.me)
    if as_json:
        print_json(projects)
    else:
        print_table(
            ("NAME", "TASK", "TARGET", "OWNER", "RISK"),
            [(p.name, p.task, p.data.target, p.owner.name, p.risk) for p in projects],
            empty="No project yet. Make one with 'headrace init'.",
        )


@app.command("schema")
def schema(
    contract: Annotated[bool, typer.Option("--contract", help="Of a consumer's contract instead.")] = False,
    as_json: Json = True,
) -> None:
    """Print the JSON schema of headrace.yaml, for editors; it is JSON either way."""
    if as_json:
        print_json(contract_schema() if contract else project_schema())


@app.command("render")
def render(
    force: Annotated[
        bool,
        typer.Option("--force", help="Also over files that somebody has edited."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the files that deploy the project in this folder as headrace.yaml says now.

    Image, Kubernetes manifests, build servers, Terraform, and who reviews. A file that was edited by hand is
    left alone; what would change in it is shown.
    """
    made = render_deployment(Path.cwd(), force=force)
    if as_json:
        print_json(made)
    else:
        for path in made.written:
            say(f"written  {path}")
        for difference in made.edited.values():
            say(difference, lines=True)
        say(f"{len(made.written)} written, {len(made.same)} as they were, {len(made.edited)} edited by hand.")
    if made.edited:
        listed = ", ".join(made.edited)
        end_with(
            Conflict(
                f"Edited by hand, and left alone: {listed}. Take over what you want of the differences, or "
                "write over them: headrace project render --force"
            ),
            as_json=as_json,
        )


@app.command("upgrade")
def upgrade(
    to: Annotated[
        str | None, typer.Option(help="This version of the template; the newest unless said.")
    ] = None,
    mark: Annotated[
        bool, typer.Option("--mark", help="Write conflicts into the files, between marks, for you to settle.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take a newer version of its template into the project in this folder, as a commit of its own.

    Where the template and you have changed the same lines, both are shown and nothing is taken over.
    """
    made = upgrade_project(Path.cwd(), version=to, mark=mark)
    if as_json:
        print_json(made)
    elif not made.changed:
        say(f"Nothing to take over: the template is at {made.after}.")
    else:
        say(f"Template {made.before} to {made.after}:")
        for path in made.changed:
            say(f"  {'conflict' if path in made.conflicts else 'changed ':<8} {path}")
        for path, text in made.conflicts.items():
            say(f"--- {path}\n{text}", lines=True)
    if made.conflicts:
        listed = ", ".join(made.conflicts)
        next_step = (
            "Settle what is between the marks, then commit."
            if made.marked
            else "Nothing was taken over. To settle it in the files: headrace project upgrade --mark"
        )
        end_with(Conflict(f"The template and you have both changed {listed}. {next_step}"), as_json=as_json)


@app.command("to-template")
def to_template(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new one, or an older version of it.")],
    incident: Annotated[
        str | None, typer.Option(help="The alert, or the incident, that this version has learnt from.")
    ] = None,
    learnt: Annotated[str | None, typer.Option(help="What was learnt, in a sentence.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Turn the project in this folder into a template for the next, or into the next version of one.

    Its name, owner, table, columns, and what was thought about them become questions. It has
    what is committed; tables and .env files stay here. With an incident it has to bring a check
    that the version before had not, and is offered to all projects that were made from it.
    """
    if (incident is None) != (learnt is None):
        raise InvalidInput(
            "A lesson is what happened and what was learnt. Give both --incident and --learnt."
        )
    if incident is not None and learnt is not None:
        with session(as_name) as s:
            made = publish_lesson(s.app, s.me, Path.cwd(), folder, incident=incident, learnt=learnt)
    else:
        made = make_blueprint(Path.cwd(), folder)
    if as_json:
        print_json(made)
        return
    for place, line in made.mentions.items():
        say(f"  still names this project's own: {place}  {line}")
    if made.version is None:
        say(f"{made.folder} is as it was.")
    else:
        say(f"{made.folder} is at {made.version}, with {len(made.files)} files.")
        say(f"Next: headrace init NAME --data FILE --target COLUMN --template {made.folder}")


@app.command("lessons")
def list_lessons(as_name: As = None, as_json: Json = False) -> None:
    """List what templates have learnt from incidents and their projects have not taken up yet."""
    with session(as_name) as s:
        found = lessons_offered(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("PROJECT", "OWNER", "HAS", "LESSON OF", "FROM", "LEARNT", "CHECKS"),
        [
            (one.project, one.owner, one.version, x.version, x.project, x.learnt, "; ".join(x.checks))
            for one in found
            for x in one.lessons
        ],
        empty="Every project has taken up what its template has learnt.",
    )


@app.command("owner")
def owner(
    of: Annotated[str, typer.Argument(metavar="REF", help="project:NAME, model:NAME@VERSION or agent:NAME.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say who answers for a project, a model or an agent, and how to reach them."""
    with session(as_name) as s:
        found = accountable(s.app, s.me, of)
    if as_json:
        print_json(found)
    else:
        say(f"{found.of}: call {found.name} at {found.contact}")


@app.command("lead-times")
def show_lead_times(
    project: Annotated[str | None, typer.Argument(help="Only this project.")] = None,
    stalled_days: Annotated[
        float | None,
        typer.Option(
            help=f"After so many days in one step, a release has stalled; as declared, or {STALLED_DAYS:g}."
        ),
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """How long releases took from data to live, what their steps cost, and alerts to their replacement."""
    with session(as_name) as s:
        found = lead_times(s.app, s.me, project, stalled_days=stalled_days)
    if as_json:
        print_json(found)
        return
    print_table(
        ("PROJECT", "RELEASE", "STATE", *(name.upper() for name in STEPS), "TOTAL", "BY PEOPLE"),
        [
            (
                one.project, time.subject, time.state,
                *(_lasted(time, name) for name in STEPS), lasting(time.took_s), people(time),
            )
            for one in found
            for time in one.releases
        ],
        empty="No release yet. Make one with 'headrace run'.",
    )  # fmt: skip
    _print_stages(found)
    for one in found:
        if one.target_s is not None:
            late = f"{len(one.late)} of {len(one.releases)} took longer"
            names = f": {', '.join(one.late)}" if one.late else ""
            say(f"{one.project}: the target is {lasting(one.target_s)} from data to live; {late}{names}.")
        for made in one.replacements:
            took = "not live" if made.took_s is None else f"live {lasting(made.took_s)} after the alert"
            say(f"{one.project}: {made.subject or 'no release yet'}, replacement for an alert, {took}.")
        if one.stalled is not None:
            waits = one.stalled.steps[-1]
            took = lasting(waits.took_s)
            say(f"{one.project} has stalled: {one.stalled.subject} is in {waits.name!r} since {took}.")


def _print_stages(found: Sequence[LeadTimes]) -> None:
    """What each step has taken and cost over a project's releases."""
    rows = [
        (
            one.project, stage.name, stage.n_releases,
            "" if stage.median_s is None else lasting(stage.median_s), lasting(stage.total_s),
            "" if stage.cost is None else f"{stage.cost:,.2f}",
        )
        for one in found
        for stage in one.stages
    ]  # fmt: skip
    if rows:
        say("")
        print_table(("PROJECT", "STEP", "RELEASES", "MEDIAN", "IN ALL", "COST"), rows, empty="")


def _lasted(time: LeadTime, name: str) -> str:
    """How long a step has taken; with dots while it goes on."""
    step = next((step for step in time.steps if step.name == name), None)
    if step is None:
        return ""
    return lasting(step.took_s) + ("..." if step.ended_at is None else "")


@app.command("waive")
def waive(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    rule: Annotated[str, typer.Option(help="Such as gate:model or control:canary.")],
    reason: Annotated[str, typer.Option(help="Why it has to deviate.")],
    days: Annotated[int, typer.Option(help="For how long.")] = 30,
    size: Annotated[
        Size, typer.Option(help="How far it deviates; who has to agree depends on it.")
    ] = "medium",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Ask for leave to deviate from a rule for a while; others decide, and it is over by itself."""
    with session(as_name) as s:
        asked = waivers.ask(s.app, s.me, project, rule, reason=reason, days=days, size=size)
    _tell(asked, as_json)


@app.command("waivers")
def list_waivers(
    project: Annotated[str | None, typer.Argument(help="Only this project.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List waivers: asked for, granted, refused, ended."""
    with session(as_name) as s:
        found = waivers.waivers(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "PROJECT", "RULE", "SIZE", "STATE", "HOLDS", "UNTIL", "ASKED BY", "MISSING", "REASON"),
        [
            (
                one.waiver.id, one.waiver.subject, one.waiver.rule, one.waiver.size, one.waiver.state,
                "yes" if one.holds else "no", f"{one.waiver.ends_at:%Y-%m-%d %H:%M}",
                one.waiver.asked_by, one.missing, one.waiver.reason,
            )
            for one in found
        ],
        empty="No waiver.",
    )  # fmt: skip


@app.command("agree")
def agree(waiver: Id, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Agree to a waiver; never one's own."""
    _settle(waiver, "approved", comment, as_name, as_json)


@app.command("refuse")
def refuse(waiver: Id, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Refuse a waiver."""
    _settle(waiver, "rejected", comment, as_name, as_json)


@app.command("unwaive")
def unwaive(waiver: Id, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Give leave back before its time."""
    with session(as_name) as s:
        ended = waivers.end(s.app, s.me, waiver, comment)
    _tell(ended, as_json)


@rules.command("show")
def show_rules(version: OneVersion = None, as_name: As = None, as_json: Json = False) -> None:
    """Print the rules in force, or another version's text."""
    with session(as_name) as s:
        found = controls.show(s.app, s.me)
        other = None if version is None else RULES.show(s.app, s.me, version)
    if other is not None:
        print_json(other) if as_json else typer.echo(other.text.rstrip())
        return
    if as_json:
        print_json(
            {"version": found.version, "digest": found.digest, "rules": found.rules, "text": found.text}
        )
        return
    whose = f"version {found.version}" if found.version else "Headrace's own; this workspace has none"
    say(f"# {whose}, digest {found.digest[:12]}")
    typer.echo(found.text.rstrip())


add_looking(
    rules,
    RULES,
    empty="Headrace's own rules are in force. Propose others: headrace project controls propose FILE",
)
add_changing(rules, RULES, kind="text of rules")


def _settle(
    waiver_id: str,
    decision: Literal["approved", "rejected"],
    comment: str,
    as_name: str | None,
    as_json: bool,
) -> None:
    with session(as_name) as s:
        decided = waivers.decide(s.app, s.me, waiver_id, decision, comment)
    _tell(decided, as_json)


def _tell(waiver: Waiver, as_json: bool) -> None:
    """What became of a waiver; one that waits for somebody ends with the exit code that says so."""
    if as_json:
        print_json(waiver)
    else:
        until = f" until {waiver.ends_at:%Y-%m-%d %H:%M} UTC" if waiver.state == "granted" else ""
        say(f"Waiver {waiver.id} of {waiver.rule} is {waiver.state}{until}.")
    if waiver.state == "asked":
        waits = f"It needs {missing(waiver)}. Next: headrace project agree {waiver.id} --as NAME"
        end_with(WaitsForPerson(waits), as_json=as_json)
