"""``headrace feedback queue | label | labels | agreement``: people judge answers."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.labels import labelling
from headrace.app.labels.labelling import Judgement, Verdict
from headrace.cli.session import As, Json, print_json, print_table, say, session

Project = Annotated[str, typer.Argument(help="Name of the project.")]
_WIDEST = 60


def list_queue(
    project: Project,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were judged.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List the answers that people should judge, and why: what users call poor, and a sample of all."""
    with session(as_name) as s:
        found = labelling.queue(s.app, s.me, project, mine=not everything, everything=everything, most=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ANSWER", "ANSWERED", "WHY", "QUESTION", "SAID", "JUDGED BY"),
        [
            (
                one.subject,
                f"{one.answered_at:%Y-%m-%d %H:%M}",
                ", ".join(one.reasons),
                one.question[:_WIDEST],
                one.answer[:_WIDEST],
                ", ".join(one.people),
            )
            for one in found
        ],
        empty="Nothing waits: no answer was called poor, and none of the sample is left.",
    )
    if found:
        say(f"Next: headrace feedback label {project} {found[0].subject} good")


def label(
    project: Project,
    answer: Annotated[str, typer.Argument(help="Id of the answer, or ID:ROW.")],
    verdict: Annotated[Verdict, typer.Argument(help="good or bad.")],
    category: Annotated[
        list[str] | None, typer.Option(help="What is wrong with it, as the charter names it; several times.")
    ] = None,
    correction: Annotated[str | None, typer.Option(help="What it should have been.")] = None,
    comment: Annotated[str | None, typer.Option(help="Why.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Judge an answer; judging it again changes what you said."""
    judgement = Judgement(
        verdict=verdict, categories=tuple(category or ()), correction=correction, comment=comment
    )
    with session(as_name) as s:
        kept = labelling.judge(s.app, s.me, project, answer, judgement)
    if as_json:
        print_json(kept)
        return
    say(f"{kept.subject} is {verdict}, says {s.me.name}.")
    say(f"Next: headrace feedback queue {project}")


def list_labels(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List what people have judged."""
    with session(as_name) as s:
        found = labelling.labels(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WHEN", "ANSWER", "BY", "VERDICT", "WHAT", "CORRECTION"),
        [
            (
                f"{one.at:%Y-%m-%d %H:%M}",
                one.subject,
                one.by,
                one.verdict,
                ", ".join(one.categories),
                (one.correction or "")[:_WIDEST],
            )
            for one in found
        ],
        empty=f"Nobody has judged an answer yet. Begin with: headrace feedback queue {project}",
    )


def list_agreement(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List how far each two people agree on the answers that both have judged (Cohen's kappa)."""
    with session(as_name) as s:
        found = labelling.agreement(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ONE", "OTHER", "ANSWERS", "ALIKE", "BY CHANCE", "KAPPA", "95 % INTERVAL"),
        [
            (
                one.one,
                one.other,
                one.agreement.n,
                f"{one.agreement.observed:.0%}",
                f"{one.agreement.expected:.0%}",
                "" if one.agreement.kappa is None else f"{one.agreement.kappa:.2f}",
                ""
                if one.agreement.interval is None
                else f"{one.agreement.interval[0]:.2f} to {one.agreement.interval[1]:.2f}",
            )
            for one in found
        ],
        empty="No two people have judged the same answer yet.",
    )
