"""``headrace check``: the flight check."""

from __future__ import annotations

from pathlib import Path

import typer

from headrace.app.compliance import check_project
from headrace.app.llm.drafts import begins_as_draft
from headrace.app.llm.prompt_readiness import prompt_gaps
from headrace.app.operations import missing_in
from headrace.app.overviews.deployed import plan_differences
from headrace.app.overviews.unreleased import unreleased
from headrace.cli.exits import end_with
from headrace.cli.session import As, Json, print_json, say, session
from headrace.cli.unreleased import print_unreleased
from headrace.core.errors import GateFailed
from headrace.projects.charter import load_project
from headrace.projects.compliance import Compliance
from headrace.projects.flight import flight_check

app = typer.Typer(add_completion=False)


@app.command()
def check(as_name: As = None, as_json: Json = False) -> None:
    """The flight check of the project in this folder, and how it stands against the workspace's rules."""
    folder = Path.cwd()
    project = load_project(folder)
    with session(as_name) as s:
        compliance = check_project(s.app, s.me, project)
        waiting = s.app.access.charters.waiting(project)
        differs = plan_differences(s.app, [project]).get(project.name, [])
        kept_back = unreleased(s.app, [project]).get(project.name, [])
        gaps = prompt_gaps(s.app.settings.home, project, folder)
        drafts = begins_as_draft(s.app, project, s.me.name)
    named = {one.control for one in compliance.violations}
    # A missing basis is also a control of every tier, and once is enough.
    items = [
        item
        for item in flight_check(project, folder)
        if item.ticked or (item.name, "lawful-basis" in named) != ("privacy", True)
    ]
    missing_trainers = missing_in(project, folder)
    if as_json:
        print_json(
            {
                "items": items,
                "missing_trainers": sorted(missing_trainers),
                "compliance": compliance,
                "waiting": waiting,
                "differs": differs,
                "unreleased": kept_back,
                "undeclared_models": gaps.undeclared,
                "placeholders": gaps.placeholders,
                "agent_files": gaps.too_long,
                "drafts": drafts,
            }
        )
    else:
        for item in items:
            mark = "--" if not item.ticked else "ok" if item.there else ""
            say(f"  {mark:<3} {item.name:<14} {item.detail}")
            if item.next_step:
                say(f"      next: {item.next_step}")
        print_compliance(compliance)
        for one in waiting:
            say(f"  waits for approval: {one}")
        for difference in differs:
            say(f"  deployed otherwise: {difference}")
        print_unreleased(project.name, kept_back)
        for placeholder in gaps.placeholders:
            say(f"  warning: {placeholder}")
        if drafts:
            say(drafts)
    problems = [item.name for item in items if not item.ticked]
    if missing_trainers:
        problems.append(f"trainers missing in project.py: {', '.join(sorted(missing_trainers))}")
    problems += [*gaps.undeclared, *gaps.too_long]
    problems += [f"{one.control}: {one.detail}" for one in compliance.violations]
    if problems:
        end_with(GateFailed(f"The flight check is not complete: {'; '.join(problems)}."), as_json=as_json)
    if not as_json:
        typer.echo("Ready. Next: headrace run")


def print_compliance(found: Compliance) -> None:
    """Each control of the risk tier in a line, and what to do about those that are not met."""
    rules = f"rules version {found.rules_version}" if found.rules_version else "Headrace's own rules"
    people = f"{found.approvals} {'approval' if found.approvals == 1 else 'approvals'}"
    say(f"{found.tier} risk, {people}, {rules}")
    for one in found.findings:
        by = f" (waiver {one.waiver})" if one.waiver else ""
        say(f"  {one.status:<10} {one.control:<18} {one.detail}{by}")
        if one.next_step:
            say(f"      next: {one.next_step}")
