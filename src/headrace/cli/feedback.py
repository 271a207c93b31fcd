"""``headrace feedback``, and ``headrace monitor import-feedback | feedback | kpis``.

What people say of answers and do with them, and what those brought.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.app.business.kpis import around_answer, kpi_differences, kpis
from headrace.app.labels.feedback import import_feedback
from headrace.app.labels.opinions import Said, Thumbs, offer, say_of
from headrace.cli import handoffs
from headrace.cli.drafts import decide, list_drafts, show_draft
from headrace.cli.feedback_impact import show_impact
from headrace.cli.labelling import label, list_agreement, list_labels, list_queue
from headrace.cli.learning_data import draw, export, list_sets, sign
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What people say of answers.")
app.command("queue")(list_queue)
app.command("label")(label)
app.command("labels")(list_labels)
app.command("agreement")(list_agreement)
app.command("drafts")(list_drafts)
app.command("draft")(show_draft)
app.command("decide")(decide)
app.command("hand-over")(handoffs.hand_over)
app.command("handoffs")(handoffs.list_handoffs)
app.command("handoff")(handoffs.show_handoff)
app.command("take")(handoffs.take)
app.command("put-back")(handoffs.put_back)
app.command("reply")(handoffs.reply)
app.command("impact")(show_impact)
app.command("draw")(draw)
app.command("sign")(sign)
app.command("sets")(list_sets)
app.command("export")(export)
Project = Annotated[str, typer.Argument(help="Name of the project.")]


def import_events(
    project: Project,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One JSON object a line, as the API takes.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Store what people did around answers, and what those earned; each event once."""
    with session(as_name) as s:
        n_stored = import_feedback(s.app, s.me, project, file)
    if as_json:
        print_json({"project": project, "stored": n_stored})
        return
    typer.echo(f"{n_stored:,} events stored.")
    typer.echo(f"Next: headrace monitor watch {project}")


Answer = Annotated[str, typer.Argument(help="Id of the answer, or ID:ROW.")]


@app.command("say")
def say_of_answer(
    project: Project,
    answer: Answer,
    thumbs: Annotated[
        Thumbs | None, typer.Option(help="up, down, or none to take it back.", show_choices=False)
    ] = None,
    rating: Annotated[int | None, typer.Option(help="1 (worst) to 5 (best).")] = None,
    comment: Annotated[str | None, typer.Option(help="In whose words.")] = None,
    correction: Annotated[str | None, typer.Option(help="What the answer should have been.")] = None,
    complaint: Annotated[str | None, typer.Option(help="What somebody complains about.")] = None,
    by: Annotated[str | None, typer.Option(help="Whose word it is, where not yours.")] = None,
    key: Annotated[str | None, typer.Option(help="By which its source knows it: it counts once.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Store what somebody says of one answer; without --key, later words replace earlier ones."""
    said = Said(
        thumbs=thumbs,
        rating=rating,
        comment=comment,
        correction=correction,
        complaint=complaint,
        by=by,
        key=key,
    )
    with session(as_name) as s:
        kept = say_of(s.app, s.me, project, answer, said)
    if as_json:
        print_json(kept)
        return
    say(f"Stored for {kept.subject}, which release {kept.release_id} has answered.")
    say(f"Next: headrace monitor feedback {project} {kept.subject}")


@app.command("token")
def make_token(
    project: Project,
    answer: Answer,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long it lives.")] = 60,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print a token by which a browser can say something of one answer, and do nothing else."""
    with session(as_name) as s:
        offered = offer(s.app, s.me, project, answer, ttl_s=minutes * 60)
    if as_json:
        print_json(offered)
        return
    typer.echo(offered.token)


def list_feedback(
    project: Project,
    answer: Answer,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List what happened before and after an answer, what was decided on it, and what came of it."""
    with session(as_name) as s:
        rows = around_answer(s.app, s.me, project, answer)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        say(
            f"{row.subject}: {_shown(row.prediction)}, by {row.release_id[:13]} at {_moment(row.answered_at)}"
        )
        print_table(
            ("WHEN", "KIND", "NAME", "VALUE", "FROM", "PAGE", "TEXT"),
            [
                (
                    _moment(one.happened_at),
                    one.kind,
                    one.name,
                    _shown(one.value),
                    one.principal if one.by is None else f"{one.by} by {one.principal}",
                    one.page or "",
                    one.text or "",
                )
                for one in row.feedback
            ],
            empty="Nothing has been told of it.",
        )


def list_kpis(
    project: Project,
    compare: Annotated[bool, typer.Option("--compare", help="Two releases, in the same time.")] = False,
    release: Annotated[
        str | None, typer.Option(metavar="ID", help="With --compare; else the canary.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="ID", help="With --compare; else the live one.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List what the answers of each release brought, by window; or that of two releases side by side."""
    if compare:
        _compare(project, release, against, as_name, as_json)
        return
    with session(as_name) as s:
        found = kpis(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WINDOW", "RELEASE", "KPI", "VALUE", "90 % INTERVAL", "ANSWERS", "TOTAL"),
        [
            (
                "" if m.window is None else f"{m.window[0]:%Y-%m-%d}",
                (m.release_id or "")[:13],
                f"{m.feature}: {m.segment}" if m.segment else m.feature or "",
                f"{_shown(m.value)} {m.detail['unit']}".strip(),
                _range(m.interval),
                m.n_rows,
                _shown(m.detail["total"]),
            )
            for m in found
        ],
        empty=f"Nothing was measured yet. Send feedback to /api/v1/projects/{project}/feedback.",
    )


def _compare(
    project: str, release: str | None, against: str | None, as_name: str | None, as_json: bool
) -> None:
    with session(as_name) as s:
        found = kpi_differences(s.app, s.me, project, release=release, against=against)
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "KPI",
            "RELEASE",
            "VALUE",
            "ANSWERS",
            "AGAINST",
            "VALUE",
            "ANSWERS",
            "DIFFERENCE",
            "90 % INTERVAL",
            "",
        ),
        [
            (
                f"{one.kpi} ({one.unit})" if one.unit else one.kpi,
                one.release_id[:13],
                _shown(one.value),
                one.n,
                one.against[:13],
                _shown(one.against_value),
                one.against_n,
                "" if one.difference is None else f"{one.difference:+.4g}",
                _range(one.interval),
                one.conclusion,
            )
            for one in found
        ],
        empty="Nothing to compare: they never answered at the same time, or nothing was told of an answer.",
    )


def _shown(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.4g}"


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
