"""``headrace release split`` and ``end``: A/B tests."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.rollouts.splitting import SplitReport, Wanted, end_split, split, split_report
from headrace.cli.session import As, Code, Json, print_json, print_table, say, session
from headrace.core.errors import InvalidInput

Project = Annotated[str, typer.Argument(help="Name of the project.")]


def release_split(
    project: Project,
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME:]VERSION=SHARE",
            help="An arm: a version or release, and its part of the traffic, such as 2=0.5. Once for each.",
        ),
    ] = None,
    code: Code = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let approved releases share the traffic, each under its name; without shares, show how they do."""
    with session(as_name, code) as s:
        if share:
            report = split(s.app, s.me, project, [parse_share(text) for text in share])
        else:
            report = split_report(s.app, s.me, project)
    if as_json:
        print_json(report)
    else:
        print_split(report)


def release_end(
    project: Project,
    keep: Annotated[
        str | None, typer.Option(help="Arm, version or release that gets all traffic; else the live one.")
    ] = None,
    code: Code = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """End an A/B test: one release gets all traffic."""
    with session(as_name, code) as s:
        release = end_split(s.app, s.me, project, keep)
    if as_json:
        print_json({"live": release.id, "project": project})
    else:
        say(f"{release.manifest.subject.ref} answers alone (release {release.id}).")


def parse_share(text: str) -> Wanted:
    """An arm as it is typed.

    >>> parse_share("control:1=0.5")
    Wanted(version='1', share=0.5, name='control')

    Raises:
        InvalidInput: it is none.
    """
    arm, _, share = text.rpartition("=")
    name, _, version = arm.rpartition(":")
    try:
        part = float(share)
    except ValueError:
        part = 0.0
    if not version or not part:
        raise InvalidInput(f"{text!r} is no share. Expected VERSION=SHARE, such as 2=0.5.")
    return Wanted(version=version, share=part, name=name or None)


def print_split(report: SplitReport) -> None:
    """Each arm in a line."""
    say(f"A/B test of {report.project} since {report.since:%Y-%m-%d %H:%M} UTC")
    rows = []
    for arm in report.arms:
        difference = arm.difference and f"[{arm.difference[0]:.4g}, {arm.difference[1]:.4g}]"
        loss = None if arm.loss is None else f"{arm.loss:.4g} {arm.metric}"
        counts = (f"{arm.share:.0%}", arm.answered, arm.failed, arm.n_labels)
        rows.append((arm.name, arm.release_id, *counts, loss, difference, arm.conclusion or "(live)"))
    heads = ("ARM", "RELEASE", "SHARE", "ANSWERED", "FAILED", "LABELS", "LOSS", "AGAINST LIVE", "")
    print_table(heads, rows, empty="No arm.")
