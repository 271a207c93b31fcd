"""``headrace monitor alert`` and ``headrace monitor event``: what people do about alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from headrace.app.alerting import cases
from headrace.app.alerting.cases import Shown
from headrace.app.alerting.telling import is_sending
from headrace.app.overviews import periods as named
from headrace.cli.moments import moment
from headrace.cli.run import parse_moment
from headrace.cli.session import As, Code, Json, print_json, print_table, say, session
from headrace.core.alerts import Period
from headrace.monitoring.cases import StepKind
from headrace.monitoring.wording import lasting

app = typer.Typer(no_args_is_help=True, help="See alerts, and say what you do about them.")
events = typer.Typer(no_args_is_help=True, help="Known events, which explain what is found in their time.")
Id = Annotated[str, typer.Argument(metavar="ALERT", help="The alert's id, or its first letters.")]
Why = Annotated[str, typer.Option("--why", help="In words.")]
Evidence = Annotated[
    str, typer.Option("--evidence", help="By which others can see it, such as a release or an address.")
]
Project = Annotated[str, typer.Argument(help="Name of the project.")]


@app.command("ls")
def list_alerts(
    project: Annotated[str | None, typer.Argument(help="Only this project's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List alerts that somebody still has to close, newest first; how long until people were told."""
    with session(as_name) as s:
        found = [one for one in cases.shown(s.app, s.me, project) if everything or one.pending]
        sends = is_sending(s.app)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "AT", "PROJECT", "STATE", "SEVERITY", "WHAT", "TOLD", "SINCE THE FIRST ANSWER"),
        [
            (
                one.alert.id,
                f"{one.alert.at:%Y-%m-%d %H:%M}",
                one.alert.project,
                f"{one.state}, overdue" if one.overdue else one.state,
                one.severity,
                one.finding.title,
                _told(one),
                "" if one.delay_s is None else lasting(one.delay_s),
            )
            for one in found
        ],
        empty="No alert waits for anybody.",
    )
    if not sends and any(notice.state == "waiting" for one in found for notice in one.notices):
        say("What waits to be told is sent by a server, and none runs: headrace up, or headrace monitor run.")


@app.command("show")
def show(alert_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show an alert: whom it was told to, and what was done about it."""
    with session(as_name) as s:
        found = cases.one(s.app, s.me, alert_id)
    if as_json:
        print_json(found)
        return
    say(f"{found.finding.title} ({found.finding.kind}, {found.severity}, {found.state})")
    if found.event:
        say(f"The known event {found.event!r} covers {found.event_share:.0%} of its window.")
    if found.delay_s is not None:
        say(f"Told {lasting(found.delay_s)} after the first answer that can be wrong.")
    if found.case is not None and found.case.quiet:
        say(f"Nobody was told: {found.case.quiet}.")
    print_table(
        ("CHANNEL", "TO", "WHY", "STATE", "TRIES", "ERROR"),
        [(n.channel, n.to, n.why, n.state, n.tries, n.error) for n in found.notices],
        empty="No notice.",
    )
    print_table(
        ("AT", "BY", "STEP", "WHY", "EVIDENCE"),
        [
            (n["at"][:16], n["by"], n.get("step", ""), n.get("text", ""), n.get("evidence", ""))
            for n in (() if found.case is None else found.case.notes)
        ],
        empty="Nobody has done anything about it yet.",
    )


@app.command("ack")
def acknowledge(
    alert_id: Id, note: Annotated[str, typer.Option(help="In words.")] = "", as_name: As = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say that you look into it: nobody else is called."""
    _answer(alert_id, "acknowledge", note, "", as_name, None, as_json)


@app.command("note")
def note(alert_id: Id, why: Why, as_name: As = None, as_json: Json = False) -> None:
    """Write down what was found out."""
    _answer(alert_id, "note", why, "", as_name, None, as_json)


@app.command("ignore")
def ignore(alert_id: Id, why: Why, as_name: As = None, as_json: Json = False) -> None:
    """Close it, because a known event explains it; no retraining follows."""
    _answer(alert_id, "ignore", why, "", as_name, None, as_json)


@app.command("remediate")
def remediate(alert_id: Id, why: Why, evidence: Evidence, as_name: As = None, as_json: Json = False) -> None:
    """Close it, because its cause is gone."""
    _answer(alert_id, "remediate", why, evidence, as_name, None, as_json)


@app.command("accept")
def accept(
    alert_id: Id, why: Why, evidence: Evidence, code: Code = None, as_name: As = None, as_json: Json = False
) -> None:
    """Close it, because it stays as it is; of a violation of fairness never the release's own author."""
    _answer(alert_id, "accept", why, evidence, as_name, code, as_json)


@app.command("silence")
def silence(
    project: Project,
    until: Annotated[str, typer.Option(metavar="WHEN", help="Such as 12h, 30d or 2027-01-31.")],
    why: Why,
    kind: Annotated[str, typer.Option(help="Only this kind of finding, such as data_drift.")] = "",
    feature: Annotated[str, typer.Option(help="Only this input, metric or group.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Tell nobody of a project's alerts for a while; they are listed all the same."""
    with session(as_name) as s:
        made = named.silence(
            s.app, s.me, project, until=moment(until, s.app.clock.now()), why=why, finding=kind,
            feature=feature,
        )  # fmt: skip
    _named(made, as_json)


@events.command("add")
def add_event(
    project: Project,
    title: Annotated[str, typer.Argument(help="What happened, such as a promotion.")],
    starts: Annotated[str, typer.Option("--from", metavar="DATE", help="Its beginning, in event time.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="Its end, not included.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Name a known event: what it explains is told to nobody and starts no retraining."""
    with session(as_name) as s:
        made = named.add_event(
            s.app, s.me, project, title, starts_at=parse_moment(starts), ends_at=parse_moment(until)
        )
    _named(made, as_json)


@app.command("maintenance")
def maintenance(
    project: Project,
    starts: Annotated[str, typer.Option("--from", metavar="WHEN", help="Still to come.")],
    until: Annotated[str, typer.Option(metavar="WHEN", help="Its end, within 7 days.")],
    why: Why,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Announce a maintenance window, which is not held against the service level."""
    with session(as_name) as s:
        made = named.add_maintenance(
            s.app, s.me, project, why, starts_at=parse_moment(starts), ends_at=parse_moment(until)
        )
    _named(made, as_json)


@events.command("ls")
def list_periods(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List known events, and silences and maintenance windows that have not ended."""
    with session(as_name) as s:
        found = named.periods(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "KIND", "FROM", "UNTIL", "WHAT", "ONLY", "BY"),
        [(p.id, p.kind, _minute(p.starts_at), _minute(p.ends_at), p.title, _only(p), p.by) for p in found],
        empty="No event, no silence and no maintenance window.",
    )


@events.command("end")
def withdraw(
    project: Project,
    period_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the event, silence or window.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Take an event or a maintenance window back, or end a silence before its time."""
    with session(as_name) as s:
        ended = named.withdraw(s.app, s.me, project, period_id)
    if as_json:
        print_json(ended)
    else:
        say(f"The {ended.kind} {ended.title!r} holds no more.")


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _only(period: Period) -> str:
    return " ".join(filter(None, (period.finding, period.feature)))


def _told(shown: Shown) -> str:
    if not shown.notices:
        return "nobody"
    if shown.is_shown_only:
        return "shown here only: no channel is set up"
    count = {
        state: sum(one.state == state for one in shown.notices) for state in ("sent", "waiting", "failed")
    }
    return ", ".join(f"{n} {state}" for state, n in count.items() if n)


def _answer(
    alert_id: str,
    kind: StepKind,
    why: str,
    evidence: str,
    as_name: str | None,
    code: str | None,
    as_json: bool,
) -> None:
    with session(as_name, code) as s:
        found = cases.answer(s.app, s.me, alert_id, kind, why=why, evidence=evidence)
    if as_json:
        print_json(found)
    else:
        say(f"{found.alert.id} is {found.state}.")


def _named(period: Period, as_json: bool) -> None:
    if as_json:
        print_json(period)
    else:
        say(f"The {period.kind} {period.id} holds until {period.ends_at:%Y-%m-%d %H:%M} UTC.")
