"""``headrace release``: list, show, approve, reject, roll back, verify."""

from __future__ import annotations

import re
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from headrace.app.asking import ask
from headrace.app.elsewhere.artefacts import verify_release
from headrace.app.flight import open_items, to_tick
from headrace.app.llm.drafts import begins_as_draft
from headrace.app.llm.examples import Examples, examples
from headrace.app.many import approve_many, roll_back_many
from headrace.app.operations import decide, find_release, roll_back
from headrace.app.overviews.cards import card
from headrace.app.overviews.fleet import server_address
from headrace.app.overviews.reading import looks, quorum, release_report, releases
from headrace.app.rollouts.comparing import difference
from headrace.app.rollouts.falling_back import fall_back
from headrace.app.rollouts.recommending import recommendation
from headrace.app.ticking import approve_looked, tick, why_not_kept
from headrace.app.workflows import launch
from headrace.cli.exits import end_with
from headrace.cli.many import is_one, print_many, selected
from headrace.cli.promote import bring, export
from headrace.cli.reached import next_step
from headrace.cli.release_keys import keys
from headrace.cli.reviews import list_reviews, review
from headrace.cli.run import print_release, waits_for_ticks
from headrace.cli.session import As, Code, Json, Session, print_json, print_table, say, session
from headrace.cli.split import release_end, release_split
from headrace.core.errors import Conflict, GateFailed, InvalidInput, WaitsForPerson

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="List, show, approve, reject, recommend, roll back."
)
Id = Annotated[str, typer.Argument(metavar="ID", help="The release's id, or its first letters.")]
Everything = Annotated[bool, typer.Option("--all", help="All that you may see.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Comment = Annotated[str, typer.Option(help="Why; kept with the decision.")]
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@app.command("ls")
def list_releases(
    project: Annotated[str | None, typer.Argument(help="Only this project.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List releases, newest first."""
    with session(as_name) as s:
        found = releases(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "SUBJECT", "STATE", "AUTHOR", "CAUSE"),
        [(r.id, r.manifest.subject.ref, r.state, r.author, r.manifest.cause) for r in found],
        empty="No release yet. Make one with 'headrace run'.",
    )


@app.command("show")
def show(release_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show a release with all its evidence."""
    with session(as_name) as s:
        report = release_report(s.app, s.me, find_release(s.app, s.me, release_id).id)
    if as_json:
        print_json(report)
    else:
        print_release(report)


@app.command("ask")
def ask_somebody(
    release_id: Id,
    person: Annotated[str, typer.Option("--of", help="Who is to decide; only they can answer.")],
    channel: Annotated[str, typer.Option("--by", help="One of 'headrace monitor channel ls'.")] = "email",
    to: Annotated[str, typer.Option(help="Their address, where the channel tells persons.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Ask one person to decide about a waiting release, by e-mail or in Slack.

    What they get is good once, for three days, for them and for this digest; it decides nothing by itself.
    """
    with session(as_name) as s:
        sent = ask(s.app, s.me, release_id, person=person, channel=channel, to=to)
    if as_json:
        print_json(sent)
        return
    say(f"{sent.person} was asked by {sent.channel}, and can answer until {sent.until:%Y-%m-%d %H:%M} UTC.")


@app.command("looks")
def show_looks(release_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """List the looks at a canary, the oldest first: what each concluded, and from how much."""
    with session(as_name) as s:
        found = looks(s.app, s.me, find_release(s.app, s.me, release_id).id)
    if as_json:
        print_json(found)
        return
    print_table(
        ("AT", "LOOK", "OUTCOME", "STEP", "SHARE %", "ANSWERED", "FAILED", "LABELS"),
        [
            (
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                *(one.detail[name] for name in ("look", "outcome", "step", "share_percent")),
                one.detail["answered"],
                one.detail["failed"],
                one.n_rows,
            )
            for one in found
        ],
        empty="No look yet. The first one comes once the canary has answered.",
    )


@app.command("diff")
def show_difference(release_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show what differs from the live release, or from the one before: outcome, parameters, data, code."""
    with session(as_name) as s:
        release = find_release(s.app, s.me, release_id)
        found = difference(s.app, s.me, release.id)
        verdicts = release_report(s.app, s.me, release.id).verdicts
    outcomes = {
        one.gate: one.reason for one in verdicts if one.gate in ("champion", "champion_segments", "movement")
    }
    if as_json:
        print_json({"difference": found, "outcome": outcomes})
        return
    if found.against is None:
        say(f"{release.manifest.subject.ref} is the first release: there is nothing to compare it with.")
        return
    say(f"{release.manifest.subject.ref} beside {found.against_subject}")
    for gate, reason in outcomes.items():
        say(f"  {gate:<18} {reason}")
    changed = [one for one in (*found.metrics, *found.params, *found.ingredients) if not one.same]
    print_table(
        ("WHAT", "BEFORE", "NOW"),
        [
            *((one.name, _told(one.before), _told(one.after)) for one in changed),
            *((one.key, _told(one.before), _told(one.after)) for one in found.settings),
        ],
        empty="Nothing that it was made from differs.",
    )
    if found.prompt is not None:
        before, after = (text.splitlines() for text in found.prompt)
        for line in unified_diff(before, after, "prompt before", "prompt now", lineterm=""):
            say(line)


@app.command("examples")
def show_examples(release_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show the rows on which a release and the live one differ most, of a prompt its wrong answers.

    Who has read them is on record.
    """
    with session(as_name) as s:
        found = examples(s.app, s.me, find_release(s.app, s.me, release_id).id)
    if as_json:
        print_json(found)
    elif found is None:
        say("Nothing else is live: there is nothing to hold its answers against.")
    elif found.problem:
        say(f"They cannot be shown: {found.problem}")
    elif found.wrong:
        _say_wrong(found)
    else:
        say(f"{found.source}: they differ on {found.n_apart:,} of {found.n_rows:,}")
        names = list(found.rows[0].inputs) if found.rows else []
        print_table(
            ("THIS", "LIVE", *(name.upper() for name in names)),
            [tuple(_told(v) for v in (one.candidate, one.live, *one.inputs.values())) for one in found.rows],
            empty="Both answer all of them alike.",
        )


def _say_wrong(found: Examples) -> None:
    say(f"{found.source}: {found.n_apart:,} of {found.n_rows:,} are not answered as their label says")
    for one in found.rows:
        answers = {"expected": one.truth, "this": one.candidate, "live": one.live}
        say("")
        for name, text in (one.inputs | answers).items():
            if name != "live" or text is not None:
                say(f"{name:<10} {'no answer' if text is None else text}")


@app.command("card")
def show_card(
    release_id: Id,
    to: Annotated[Path | None, typer.Option(help="Write it to this file, such as README.md.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print the model card, in the format of Hugging Face, written from what is on record."""
    with session(as_name) as s:
        release = find_release(s.app, s.me, release_id)
        text = card(s.app, s.me, release.id)
    if to is not None:
        if to.exists():
            raise Conflict(f"{to} exists. Choose another file, or remove it first.")
        to.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"release": release.id, "file": None if to is None else str(to), "card": text})
    elif to is not None:
        say(f"The card of {release.manifest.subject.ref} is in {to}.")
    else:
        for line in text.splitlines():
            say(line)


def _told(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else _DIGEST.sub(r"\1…", str(value))


@app.command("approve")
def approve(
    releases_: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Releases, or patterns of projects such as 'cars-*'."),
    ] = None,
    comment: Comment = "",
    looked: Annotated[
        str, typer.Option("--tick", metavar="NOTE", help="Tick its flight check too: what you looked at.")
    ] = "",
    everything: Everything = False,
    dry_run: DryRun = False,
    code: Code = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Approve waiting releases; never one's own. A high risk takes a second factor.

    What a pattern or --all selects is approved only where every gate has passed.
    """
    names = selected(releases_, everything=everything)
    with session(as_name, code) as s:
        if is_one(names) and not dry_run:
            _decide(s, names[0], "approved", comment, as_json, looked=looked)
            return
        if looked:
            raise InvalidInput("A flight check is ticked release by release. Name one, or leave out --tick.")
        with launch(s.app) as work:
            done = approve_many(s.app, work, s.me, names, comment, dry_run=dry_run)
    print_many(done, as_json=as_json)


@app.command("tick")
def tick_items(
    release_id: Id,
    items: Annotated[
        list[str] | None, typer.Argument(metavar="[ITEM]...", help="Of the flight check; all that are open.")
    ] = None,
    note: Annotated[str, typer.Option(help="What you looked at, and what you saw.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Tick what only a person can look at, before a waiting release is deployed; kept with your name."""
    with session(as_name) as s, launch(s.app) as work:
        release = tick(s.app, work, s.me, release_id, items or (), note)
        flight = to_tick(s.app, release)
    if as_json:
        print_json({"id": release.id, "state": release.state, "flight": flight})
        return
    for one in flight:
        say(f"  {'ticked' if one.ticked else 'to tick':<8} {one.name}")
    left = [one.name for one in flight if not one.ticked]
    if left:
        say(waits_for_ticks(release, left))
    elif release.state == "waiting":
        say(f"The flight check is complete. Next: headrace release approve {release.id} --as NAME")
    else:
        say(f"{release.manifest.subject.ref} is {release.state.replace('_', ' ')} (release {release.id}).")


@app.command("reject")
def reject(release_id: Id, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Reject a waiting release."""
    with session(as_name) as s:
        _decide(s, release_id, "rejected", comment, as_json)


@app.command("rollback")
def rollback(
    projects: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROJECT...", help="Names, or patterns such as 'cars-*'."),
    ] = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Give the traffic back to the release before, or stop a rollout or A/B test that is under way."""
    names = selected(projects, everything=everything)
    with session(as_name) as s, launch(s.app) as work:
        if not is_one(names) or dry_run:
            print_many(roll_back_many(s.app, work, s.me, names, dry_run=dry_run), as_json=as_json)
            return
        project = names[0]
        release = roll_back(s.app, work, s.me, project)
    if as_json:
        print_json({"live": release.id, "project": project})
    else:
        say(f"{release.manifest.subject.ref} answers all calls again (release {release.id}).")


@app.command("fallback")
def fallback(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the rollout.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let the fallback answer instead of the live release, until another one is rolled out."""
    with session(as_name) as s:
        release = fall_back(s.app, s.me, project, reason)
    if as_json:
        print_json({"live": release.id, "project": project})
    else:
        say(f"{release.manifest.subject.ref} stands in (release {release.id}).")
        say(f"Go back to what it stands in for: headrace release rollback {project}")


@app.command("recommend")
def recommend(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Say whether to keep, roll back, roll out or train again, by what production has shown."""
    with session(as_name) as s:
        found = recommendation(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    say(found.why)
    for title in found.worse:
        say(f"Found: {title}")
    print_table(
        ("RELEASE", "SUBJECT", "ROWS", "LOSS LESS LIVE'S", "INTERVAL"),
        [
            (
                rival.release_id,
                rival.subject,
                rival.n_rows,
                rival.why if rival.difference is None else f"{rival.difference:+.4g}",
                "" if rival.low is None or rival.high is None else f"{rival.low:+.4g} to {rival.high:+.4g}",
            )
            for rival in found.rivals
        ],
        empty="There is no release to go back to, and none that waits.",
    )


app.command("split")(release_split)
app.command("end")(release_end)
app.command("review")(review)
app.command("reviews")(list_reviews)


@app.command("verify")
def verify(release_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Say whether a release and its package are what was signed."""
    with session(as_name) as s:
        try:
            found = verify_release(s.app, s.me, release_id)
        except Conflict as error:
            raise GateFailed(str(error)) from error
    if as_json:
        print_json(found)
    else:
        say(f"Release {found.release} and its package are what was signed (key {found.key[:12]}).")


app.command("export")(export)
app.command("import")(bring)
app.add_typer(keys, name="keys")


def _decide(
    s: Session, release_id: str, decision: str, comment: str, as_json: bool, *, looked: str = ""
) -> None:
    with launch(s.app) as work:
        if looked:
            release = approve_looked(s.app, work, s.me, release_id, comment, looked)
        else:
            release = decide(s.app, work, s.me, release_id, decision, comment)
        votes = quorum(s.app, s.me, release)
        lost = why_not_kept(s.app, s.me, release, looked) if looked else ""
        server = server_address(s.app)
    if as_json:
        about = {"id": release.id, "state": release.state, "digest": release.digest, "approvals": votes}
        print_json(about | ({"note_kept": not lost} if looked else {}))
    if lost:
        say(lost, err=True)
    left = [] if release.state != "waiting" else open_items(s.app, release)
    if left and votes.given >= votes.needed:
        end_with(WaitsForPerson(waits_for_ticks(release, left)), as_json=as_json)
    if release.state == "waiting":
        waits = (
            f"Release {release.id} has {votes.given} of {votes.needed} approvals; somebody else is needed."
        )
        end_with(WaitsForPerson(waits), as_json=as_json)
    if as_json:
        return
    say(f"{release.manifest.subject.ref} is {release.state.replace('_', ' ')} (release {release.id}).")
    charter = release.manifest.charter
    if charter is not None and (drafts := begins_as_draft(s.app, charter, release.author)):
        say(drafts)
    if then := next_step(release, server):
        say(then)
