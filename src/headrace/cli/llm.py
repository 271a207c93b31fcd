"""``headrace llm``: which calls to language models are allowed, and what instead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.llm import acceptable_use, shadow_use, stopping, usage
from headrace.app.llm.acceptable_use import ACCEPTABLE_USE
from headrace.app.llm.usage import LLM_USE
from headrace.cli.agent_files import files
from headrace.cli.llm_costs import costs
from headrace.cli.playbook import playbook
from headrace.cli.reviewed_texts import OneVersion, Version, add_changing, add_looking
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import InvalidInput
from headrace.gateway.llm.uses import named

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Which language models may be called, what instead, and what to try when answers drift.",
)
use = typer.Typer(
    no_args_is_help=True, help="The list of which team may use which model for what: propose, review."
)
terms = typer.Typer(
    no_args_is_help=True, help="The acceptable-use policy for AI: propose, review, acknowledge."
)
app.add_typer(use, name="use")
app.add_typer(terms, name="terms")
app.command("costs")(costs)
app.command("files")(files)
app.command("playbook")(playbook)
Project = Annotated[str, typer.Argument(help="Name of a project whose answers are texts.")]

Which = Annotated[str | None, typer.Argument(help="Name of a project; or --all.")]
All = Annotated[bool, typer.Option("--all", help="Of all projects of the workspace; in main, everybody's.")]
Why = Annotated[str, typer.Option("--reason", help="Why; whoever is refused reads it.")]


@use.command("show")
def show(version: OneVersion = None, as_name: As = None, as_json: Json = False) -> None:
    """Print a version's text: redirect it into a file, change it, propose it."""
    with session(as_name) as s:
        shown = LLM_USE.show(s.app, s.me, version)
    if as_json:
        print_json(shown)
    else:
        typer.echo(shown.text, nl=False)


add_looking(use, LLM_USE, empty="The list that comes with Headrace is in force, and nothing was proposed.")
add_changing(use, LLM_USE, kind="list of allowed uses")


@terms.command("show")
def show_terms(version: OneVersion = None, as_name: As = None, as_json: Json = False) -> None:
    """Print the policy that holds for you, or one version of your workspace's."""
    with session(as_name) as s:
        held = acceptable_use.mine(s.app, s.me) if version is None else None
        shown = held or ACCEPTABLE_USE.show(s.app, s.me, version)
    if as_json:
        print_json(shown)
        return
    typer.echo(shown.text, nl=False)
    if held is not None and held.version and held.acknowledged_at is None:
        say(f"\nYou have not acknowledged version {held.version} yet.", err=True)
        say(f"Next: headrace llm terms acknowledge {held.version}", err=True)


add_looking(terms, ACCEPTABLE_USE, empty="No acceptable-use policy is published.")
add_changing(terms, ACCEPTABLE_USE, kind="acceptable-use policy")


@terms.command("acknowledge")
def acknowledge(version: Version, as_name: As = None, as_json: Json = False) -> None:
    """Say that you have read the policy and keep it, for yourself and for what you own."""
    with session(as_name) as s:
        given = acceptable_use.acknowledge(s.app, s.me, version)
    if as_json:
        print_json(given)
    else:
        say(f"{given.subject} has acknowledged version {given.version} of the acceptable-use policy.")


@terms.command("who")
def list_acknowledgements(as_name: As = None, as_json: Json = False) -> None:
    """List who has acknowledged which version, oldest first."""
    with session(as_name) as s:
        found = acceptable_use.acknowledgements(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WHO", "VERSION", "WHEN"),
        [(one.subject, one.version, f"{one.at:%Y-%m-%d %H:%M}") for one in found],
        empty="Nobody has acknowledged it yet.",
    )


@app.command("stop")
def stop(
    reason: Why, project: Which = None, every: All = False, as_name: As = None, as_json: Json = False
) -> None:
    """The kill switch: make no call of a project, or none at all, in any process, until resumed."""
    with session(as_name) as s:
        made = stopping.stop(s.app, s.me, _one(project, every), reason)
    if as_json:
        print_json(made)
        return
    say(f"Calls of {made.subject} are stopped by {made.by}, in every process within a second.")
    say(f"Undo it: headrace llm resume {project or '--all'} --reason TEXT")


@app.command("resume")
def resume(
    reason: Why, project: Which = None, every: All = False, as_name: As = None, as_json: Json = False
) -> None:
    """Let calls be made again that were stopped."""
    with session(as_name) as s:
        ended = stopping.resume(s.app, s.me, _one(project, every), reason)
    if as_json:
        print_json(ended)
    else:
        say(f"Calls of {ended.subject} are made again.")


@app.command("stops")
def list_stops(as_name: As = None, as_json: Json = False) -> None:
    """List what was stopped, by whom, why, and who let it go on."""
    with session(as_name) as s:
        found = stopping.stops(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WHAT", "STATE", "BY", "SINCE", "WHY", "RESUMED BY"),
        [
            (one.subject, one.state, one.by, f"{one.at:%Y-%m-%d %H:%M}", one.reason, one.ended_by or "")
            for one in found
        ],
        empty="Nothing was ever stopped.",
    )


@app.command("shadow")
def shadow(
    proxy_log: Annotated[
        Path | None, typer.Option(help="Read this access log of a proxy first: Squid, W3C, CSV, JSON Lines.")
    ] = None,
    ours: Annotated[
        list[str] | None,
        typer.Option(help="A user or address of logs that is the gateway's own: left out; repeatable."),
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Shadow AI: models, keys and hosts in use that nobody has approved, and what to use instead."""
    with session(as_name) as s:
        if proxy_log is not None:
            _say_read(shadow_use.import_log(s.app, s.me, proxy_log, ours=ours or ()))
        found = shadow_use.report(s.app, s.me, ours=ours or ())
    if as_json:
        print_json(found)
        return
    print_table(
        ("KIND", "WHAT", "WHO", "TIMES", "FIRST", "LAST", "INSTEAD"),
        [
            (
                one.seen.subject,
                one.seen.what,
                one.seen.who or one.provider,
                one.seen.n,
                f"{one.seen.first_at:%Y-%m-%d}",
                f"{one.seen.last_at:%Y-%m-%d}",
                named([*one.projects, *one.models]) or "nothing yet: headrace llm ask",
            )
            for one in found.found
        ],
        empty="Nothing is in use that nobody has approved, as far as was seen.",
    )


def _say_read(read: shadow_use.Reading) -> None:
    log = read.log
    if not read.is_new:
        when = f"{log.first_at:%Y-%m-%d %H:%M} UTC by {log.who!r}"
        say(f"This log was read already, at {when}. Nothing of it was counted now.", err=True)
        return
    say(f"{log.n:,} lines, {log.n_known:,} of them to known hosts, {log.n_bad:,} unread.", err=True)
    if log.n_bad:
        say(f"Unread: {log.note}", err=True)


def _one(project: str | None, every: bool) -> str | None:
    if (project is None) is not every:
        raise InvalidInput("Name one project, or say --all; one of the two.")
    return project


@app.command("instead")
def instead(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """Models and projects that may be used for what a project is for, with its data."""
    with session(as_name) as s:
        found = usage.instead(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    say(f"{project} asks for {found.purpose or 'no stated purpose'} with {found.data_class} data.")
    say(f"Its live release may call: {', '.join(found.permitted) or 'no model'}.")
    say(f"Models allowed for this: {', '.join(found.models) or 'none yet'}.")
    say(f"Projects you may ask now: {', '.join(found.projects) or 'none'}.")
    say("To use another model, name it as 'model' in the prompt, then in the project's folder: headrace run")
    say(f"To ask for one that is not allowed: headrace llm ask {project} PROVIDER/MODEL --reason TEXT")


@app.command("ask")
def ask(
    project: Project,
    model: Annotated[str, typer.Argument(help="PROVIDER/MODEL, with a provider of providers.yaml.")],
    reason: Annotated[str, typer.Option(help="What for; those who decide read it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Ask that a project may use a model: proposes the list with one entry more, for others to decide."""
    with session(as_name) as s:
        made = usage.ask(s.app, s.me, project, model, reason)
    if as_json:
        print_json(made)
        return
    say(f"Version {made.version} of the list waits for somebody other than {made.author!r}.")
    say(f"Next: {LLM_USE.command} approve {made.version} --as NAME, or at /policy/llm/{made.version}")
