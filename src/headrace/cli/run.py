"""``headrace run``: build, prove, hand over to the release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status

from headrace.app.compliance import decides_itself
from headrace.app.flight import GATE, ToTick, open_items
from headrace.app.operations import DECIDING, settle, start_build
from headrace.app.overviews.reading import release_report, runs
from headrace.app.workflows import launch
from headrace.cli.exits import end_with
from headrace.cli.session import As, Json, print_json, say, session
from headrace.core.errors import Conflict, GateFailed, InvalidInput, NotFound, UserCodeError, WaitsForPerson
from headrace.core.release import Release
from headrace.gateway.prompts import is_prompt

app = typer.Typer(add_completion=False)
_STOPPED = {kind.__name__: kind for kind in (InvalidInput, NotFound, Conflict, UserCodeError)}
"""What stops a build without being a gate: the user's data or code."""


@app.command()
def run(
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Learn only from rows before this date.")
    ] = None,
    cause: Annotated[str, typer.Option(help="Why; kept with the release.")] = "run by hand",
    fallback: Annotated[
        bool,
        typer.Option("--fallback", help="Build the fallback that headrace.yaml names, and no candidate."),
    ] = False,
    baseline: Annotated[
        bool,
        typer.Option("--baseline", help="Build the first variant alone, to go live before any other."),
    ] = False,
    settings: Annotated[
        bool,
        typer.Option(
            "--settings", help="Release the live model under the settings in headrace.yaml; train nothing."
        ),
    ] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Build, prove and hand over to the release; an interrupted run goes on where it stopped."""
    moment = None if until is None else parse_moment(until)
    if settings and (fallback or until is not None):
        raise InvalidInput("--settings trains nothing: leave out --fallback and --until.")
    console = Console(stderr=True)
    with session(as_name) as s, launch(s.app) as work:
        started = start_build(
            s.app,
            work,
            s.me,
            Path.cwd(),
            cause=cause,
            until=moment,
            stands_in=fallback,
            settings_only=settings,
            baseline=baseline,
        )
        if started.resumed:
            console.print("Going on with the run that was interrupted.", style="yellow")
        with console.status("starting") as status:
            work.durable.on_step = _teller(console, status)
            built: dict[str, Any] = work.durable.result(started.build_id)
        if built["release_id"] is None:
            _print_verdicts(built, as_json)
            end_with(_STOPPED.get(built["kind"], GateFailed)(built["reason"]), as_json=as_json)
        with console.status("release"):
            release = settle(s.app, work, built["release_id"], leaving=("proposed",))
            if decides_itself(s.app, release) and not open_items(s.app, release):
                release = settle(s.app, work, release.id, leaving=DECIDING)
        report = release_report(s.app, s.me, release.id)
        tried = [r for r in runs(s.app, s.me, release.project) if r.build_id == started.build_id]
    if as_json:
        print_json(report)
    else:
        for failed in (r for r in tried if r.state == "failed"):
            say(f"Variant {failed.variant} failed. {failed.error}", err=True)
        print_release(report)
    finish(release, report.flight, as_json=as_json)


def _teller(console: Console, status: Status) -> Callable[[str], None]:
    """Names the step that begins: beside the spinner, or where there is no terminal as a line of its own."""
    told: set[str] = set()

    def tell(name: str) -> None:
        step = name.replace("_", " ")
        status.update(step)
        if not console.is_terminal and step not in told:
            told.add(step)
            console.print(f"{step} ...")

    return tell


def finish(release: Release, flight: Sequence[ToTick], *, as_json: bool) -> None:
    """End with the exit code that the release's state asks for."""
    if release.state == "refused":
        end_with(GateFailed(f"Release {release.id} was refused. {release.reason}"), as_json=as_json)
    left = [one.name for one in flight if not one.ticked]
    if release.state == "waiting" and left:
        end_with(WaitsForPerson(waits_for_ticks(release, left)), as_json=as_json)
    if release.state == "waiting":
        waits = WaitsForPerson(
            f"Release {release.id} waits for approval by somebody other than {release.author!r}. "
            f"Next: headrace release approve {release.id} --as NAME"
        )
        end_with(waits, as_json=as_json)


def waits_for_ticks(release: Release, left: Sequence[str]) -> str:
    """What a person has to look at first, and how they say so."""
    items = f"{len(left)} item{'' if len(left) == 1 else 's'}"
    return (
        f"Release {release.id} waits for {items} of its flight check: {', '.join(left)}. "
        f'Next: headrace release tick {release.id} --note "what you saw"'
    )


def print_release(report: Any) -> None:
    """The release in a few lines: what it is, and what each gate said."""
    release = report.release
    say(f"{release.manifest.subject.ref}  {release.state}  release {release.id}")
    say(f"  digest   {release.digest}")
    say(f"  variant  {release.manifest.params['variant']}   cause  {release.manifest.cause}")
    evaluation = ", ".join(f"{name} {value:.4g}" for name, value in release.manifest.evaluation.items())
    say(f"  tested   {evaluation}")
    positive = None if release.manifest.charter is None else release.manifest.charter.data.positive
    if positive is not None:
        say(f"  positive {positive!r}, which precision, recall and the probability are about")
    served = [one["features"] for one in release.manifest.snapshots if "features" in one]
    if served:
        say(f"  baseline of feature sets {', '.join(served)}")
    for verdict in (one for one in report.verdicts if not one.gate.startswith(GATE)):  # ticks follow
        say(f"  {verdict.outcome:<12} {verdict.gate:<14} {verdict.reason}")
    for item in report.flight:
        said = f"by {item.by}: {item.note}" if item.ticked else item.asks
        say(f"  {'ticked' if item.ticked else 'to tick':<12} {item.name:<14} {said}")
    if is_prompt(release.manifest.subject.ref) and release.state in ("waiting", "refused"):
        say(f"  {'to read':<12} {'wrong answers':<14} headrace release examples {release.id}")
    for one in report.moved:
        say(f"  {'moved':<12} {one.part:<14} it is {one.now}; {one.pinned} was approved")
    for one in report.loosens:
        say(f"  {'loosens':<12} {one}")
    if report.plan is not None:
        caught = ", ".join(f"{one.worse:.0%} worse within {one.n_labels:,}" for one in report.plan.caught)
        say(f"  canary   catches in 95 of 100 rollouts a loss {caught} labelled rows")
    if release.state == "waiting" and report.quorum.needed > 1:
        say(f"  {report.quorum.given} of {report.quorum.needed} approvals")
    for approval in report.approvals:
        say(f"  {approval.decision:<12} by {approval.approver} at {approval.at:%Y-%m-%d %H:%M} UTC")


def _print_verdicts(built: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(built)
        return
    for verdict in built["verdicts"]:
        say(f"  {verdict['outcome']:<12} {verdict['gate']:<14} {verdict['reason']}")


def parse_moment(text: str) -> datetime:
    """A date or time, UTC unless it says otherwise. Raises InvalidInput."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no date. Expected one such as 2020-01-31.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
