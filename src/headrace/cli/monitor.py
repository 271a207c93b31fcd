"""``headrace monitor``: what production shows, who is told of it, and how it would have been otherwise."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from headrace.app.answers.explanations import importances
from headrace.app.business.backtesting import backtest
from headrace.app.chores import MONITOR, WATCH_S, Chores
from headrace.app.gates.replay import Replay, replay_source
from headrace.app.operations import watch_now
from headrace.app.overviews.reading import (
    estimates,
    findings,
    measurements,
    metrics,
    performance,
    project_report,
    projects,
    releases,
)
from headrace.app.repeating import Repeating, attempt
from headrace.app.workflows import launch
from headrace.cli import alert, channel
from headrace.cli.attach import import_answers
from headrace.cli.feedback import import_events, list_feedback, list_kpis
from headrace.cli.measured import list_answers, list_learning, list_segments, list_traffic, list_trends
from headrace.cli.run import parse_moment
from headrace.cli.session import As, Json, Session, print_json, print_table, say, session
from headrace.cli.traces import list_traces, show_provenance, show_trace
from headrace.core.errors import InvalidInput
from headrace.core.ids import Ref
from headrace.core.release import Measurement
from headrace.monitoring.courses import came
from headrace.monitoring.diagnosis import diagnose, of_newest
from headrace.monitoring.performance import UNKNOWN
from headrace.monitoring.wording import MEANS

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Watch, findings, traffic, performance, estimates, traces, explanations, channels, replay.",
)
Project = Annotated[str, typer.Argument(help="Name of the project.")]
Every = Annotated[float, typer.Option("--every", min=0.1, help="Seconds from one round to the next.")]
_MOST_CAUSES = 5

app.command("import-log")(import_answers)
app.command("import-feedback")(import_events)
app.command("feedback")(list_feedback)
app.command("kpis")(list_kpis)
app.command("traffic")(list_traffic)
app.command("answers")(list_answers)
app.command("segments")(list_segments)
app.command("trends")(list_trends)
app.command("learning")(list_learning)
app.command("traces")(list_traces)
app.command("trace")(show_trace)
app.command("provenance")(show_provenance)
app.add_typer(channel.app, name="channel")
app.add_typer(alert.app, name="alert")
app.add_typer(alert.events, name="event")


@app.command("watch")
def watch(
    project: Annotated[
        str | None, typer.Argument(help="Name of the project; may be left out where there is one alone.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Run one round now: ingest, measure, conclude, react."""
    with session(as_name) as s:
        name = project or _only(s)
        with launch(s.app) as work:
            result = watch_now(s.app, work, s.me, name)
        uncompared = _uncompared(s, name)
    if as_json:
        print_json(result)
    else:
        say(f"{result['ingested']} rows read, {len(result['findings'])} new findings.")
        if uncompared:
            say(uncompared)
        if result["build"]:
            say(f"A retraining has started: {result['build']}")


def _only(s: Session) -> str:
    """The one project there is."""
    names = sorted(one.name for one in projects(s.app, s.me))
    if len(names) == 1:
        return names[0]
    known = f"known: {', '.join(names)}" if names else "none is known; make one with 'headrace init'"
    raise InvalidInput(f"No project is named ({known}). Name one: headrace monitor watch PROJECT.")


@app.command("run")
def run(every: Every = WATCH_S, as_json: Json = False) -> None:
    """Watch all projects in this process, tell people and tidy up, until it is stopped.

    Servers of this home leave that to it, so that answers do not wait for it, and take it back when it ends.
    Of several such processes each watches a part of the projects; they may come and go.
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    logging.basicConfig(level=logging.WARNING)
    with session() as s, launch(s.app, role=MONITOR) as work:
        chores = Chores(s.app, work, own_process=True, watch_s=every)
        repeating = Repeating(chores.turns())
        if as_json:
            typer.echo(json.dumps({"pid": os.getpid(), "home": str(s.app.settings.home)}))
        else:
            say(f"Watching in {s.app.settings.home}. Servers of this home leave it to this process.")
        sys.stdout.flush()
        attempt("watch", chores.share)
        repeating.start()
        stopped.wait()
        repeating.stop()
        chores.leave()


@app.command("findings")
def list_findings(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List what production data has shown."""
    with session(as_name) as s:
        found = findings(s.app, s.me, project)
        courses = came(measurements(s.app, s.me, project, "shift"))
        uncompared = _uncompared(s, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WINDOW", "KIND", "WHAT"),
        [(f"{f.window[0]:%Y-%m-%d} to {f.window[1]:%Y-%m-%d}", f.kind, f.title) for f in found],
        empty=uncompared or "Nothing stands out.",
    )
    if found and uncompared:
        say(uncompared)
    for finding in found:
        now = courses.get((finding.release_id, finding.kind, finding.feature))
        if now not in (None, finding.evidence.get("came")):
            say(f"Windows since then show how {finding.feature!r} has shifted: {now}.")
    for place, cause in enumerate(diagnose(of_newest(found))[:_MOST_CAUSES], start=1):
        where = f"{cause.feature!r} " if cause.feature and cause.feature not in cause.what else ""
        name = cause.name.replace("_", " ")
        say(f"{'Look first at' if place == 1 else '         then'}: {where}{cause.what} ({name})")
    _explain_kinds(dict.fromkeys(f.kind for f in found))
    if found:
        say("What follows: headrace monitor alert ls")


def _uncompared(s: Session, name: str) -> str:
    """Why nothing is said of inputs and answers yet, as pages say it; empty once a window was compared."""
    report = project_report(s.app, s.me, name)
    said, days = report.glance.uncompared, report.project.monitors.window_s / 86_400
    if report.route is None:
        if not any(one.state == "external" for one in releases(s.app, s.me, name)):
            return f"Nothing of {name} is live, so that nothing is watched."
        if not any(measurements(s.app, s.me, name, measure) for measure in ("window", "shift")):
            said = "inputs are not compared yet: no window has closed"
    if not said:
        return ""
    return (
        f"{said[0].upper()}{said[1:]}. A window closes when an answer's event time is past its end "
        f"({days:.3g} days each: monitors.window_s in headrace.yaml)."
    )


def _explain_kinds(kinds: Iterable[str]) -> None:
    known = [kind for kind in kinds if kind in MEANS]
    if known:
        say("\nWhat that means:", lines=True)
    for kind in known:
        say(f"  {kind:<16} {MEANS[kind]}")


@app.command("performance")
def list_performance(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List the loss by window and release, as far as labels have come."""
    with session(as_name) as s:
        found = performance(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    _print_measured(
        [(m, m.name, _number(m.value)) for m in found],
        empty="Nothing is measured yet: a round of watching joins the labels that have come to their answers "
        f"(headrace monitor watch {project}). Labels go to /api/v1/projects/{project}/labels.",
    )
    unknown = sum(m.detail.get(UNKNOWN, 0) for m in found)
    if unknown:
        say(
            f"{unknown:,} {'label is' if unknown == 1 else 'labels are'} of a class that the model does not "
            "know: answered wrong, as they count. If the class is new, train again on data that has it: "
            "headrace run, in the project's folder."
        )


@app.command("estimates")
def list_estimates(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List the loss to be expected of each window and release, before labels come."""
    with session(as_name) as s:
        found = estimates(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    _print_measured(
        [
            (m, m.detail["metric"], _number(m.value) if m.value is not None else f"no: {m.detail['refused']}")
            for m in found
        ],
        empty="No window has closed yet.",
    )


@app.command("metrics")
def list_metrics(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List the metrics that the project declares by window and release, as far as labels have come."""
    with session(as_name) as s:
        found = metrics(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    _print_measured(
        [
            (m, m.feature or "", m.detail.get("error") or f"{_number(m.value)} {m.detail['unit']}".strip())
            for m in found
        ],
        empty="Nothing was measured yet: no metric is declared in headrace.yaml, or no labels have come.",
    )


@app.command("explanations")
def list_explanations(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List how much each input has moved the answers that an explanation is kept of, by release."""
    with session(as_name) as s:
        found = importances(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("RELEASE", "INPUT", "MEAN SIZE", "MEAN", "SCALE", "ROWS", "CONFIDENCE"),
        [
            (
                one.release_id[:13],
                one.input,
                f"{one.size:.4g}",
                f"{one.mean:+.4g}",
                one.scale,
                one.n_rows,
                "" if one.confidence is None else f"{one.confidence:.1%}",
            )
            for one in found
        ],
        empty="No explanation is kept: ask with explain=true, or set serving.explain_share in headrace.yaml.",
    )


def _print_measured(found: Sequence[tuple[Measurement, str, str]], *, empty: str) -> None:
    """Measurements, each with the name and the value that are shown."""
    print_table(
        ("WINDOW", "RELEASE", "METRIC", "VALUE", "90 % INTERVAL", "LABELS"),
        [
            (
                "" if m.window is None else f"{m.window[0]:%Y-%m-%d}",
                (m.release_id or "")[:13],
                name,
                value,
                "" if m.interval is None else f"{m.interval[0]:.4g} to {m.interval[1]:.4g}",
                m.n_rows,
            )
            for m, name, value in found
        ],
        empty=empty,
    )


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"


@app.command("replay")
def replay(
    project: Project,
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First event time.")],
    until: Annotated[str | None, typer.Option(metavar="DATE", help="End, not included.")] = None,
    label_delay_days: Annotated[float, typer.Option(metavar="DAYS", help="How long labels take.")] = 1.0,
    url: Annotated[str, typer.Option(help="Address of the server.")] = "http://127.0.0.1:8000",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Send the project's own later rows to the running server as if they happened now, labels late."""
    with session(as_name) as s:
        s.app.gatekeeper.require(s.me, "predict", f"project:{project}")
        plan = Replay(
            project=project,
            start=parse_moment(start),
            until=None if until is None else parse_moment(until),
            label_delay_s=label_delay_days * 86_400,
            url=url,
        )
        result = replay_source(s.app, s.me, plan)
    if as_json:
        print_json(result)
    else:
        say(f"{result.answered:,} rows answered, {result.labelled:,} labels sent.")
        for finding in result.findings:
            say(f"  {finding.window[1]:%Y-%m-%d}  {finding.kind}: {finding.title}")


@app.command("backtest")
def run_backtest(
    model: Annotated[str, typer.Argument(metavar="PROJECT@VERSION", help="Any version, such as cars@3.")],
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First event time.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="End, not included.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Ask a model version for recorded inputs again, and compare with what was answered."""
    ref = Ref.parse(f"model:{model}")
    if not ref.version.isdigit():
        raise InvalidInput(f"{model!r} names no version. Expected a number, such as {ref.name}@1.")
    with session(as_name) as s:
        found = backtest(s.app, s.me, ref.name, int(ref.version), parse_moment(start), parse_moment(until))
    if as_json:
        print_json(found)
        return
    say(f"{found.n_rows:,} recorded rows, answered again by {model}: {found.n_changed:,} differ.")
    say(f"Mean difference {found.mean_difference:.4g}, largest {found.largest_difference:.4g}.")
    if found.losses is not None:
        loss = found.losses
        say(
            f"{loss.metric} on {loss.n_rows:,} rows whose truth is known: {loss.recorded:.4g} as recorded, "
            f"{loss.replayed:.4g} again; difference {loss.difference:+.4g}, 90 % interval {loss.low:+.4g} to "
            f"{loss.high:+.4g}."
        )
    for move, n_rows in found.classes.items():
        say(f"  {move}: {n_rows:,}")
    print_table(
        ("ROW", "RECORDED", "AGAIN"),
        [(one.subject, one.recorded, one.replayed) for one in found.moved],
        empty="Every answer is the same.",
    )
