"""``headrace feedback hand-over | handoffs | handoff | take | put-back | reply``: AI to person, and back."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from headrace.app.llm import handoffs
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.store.handoffs import Handoff

Id = Annotated[str, typer.Argument(metavar="HANDOFF_ID", help="Id of the hand-off.")]
Project = Annotated[str, typer.Argument(help="Name of the project.")]
_TEXTS = ("messages", "why", "final", "user")


def hand_over(
    project: Project,
    answer: Annotated[str, typer.Argument(help="Id of the answer, as 'headrace-answer' says it.")],
    why: Annotated[str, typer.Option(help="Why a person is needed.")],
    to: Annotated[str, typer.Option(help="A person, a role, or a queue of llm.oversight.queues.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Hand the conversation of an answer to a person, with its context."""
    with session(as_name) as s:
        made = handoffs.hand_over(s.app, s.me, project, answer, why=why, to=to)
    _told(made, as_json, f"{made.id} waits for {to or 'a person'}.", f"headrace feedback take {made.id}")


def list_handoffs(
    project: Project,
    over: Annotated[bool, typer.Option("--over", help="Those that are over, instead.")] = False,
    after: Annotated[str, typer.Option(help="Only those after the one with this id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List the conversations that were handed to a person and are open."""
    with session(as_name) as s:
        listed = handoffs.listed(s.app, s.me, project, over=over, after=after)
        found = list(islice(listed, limit))
        has_more = next(listed, None) is not None
        may = {one.id: handoffs.why_not(s.app, s.me, one) for one in found}
    if as_json:
        print_json([_about(one) for one in found])
        return
    print_table(
        ("HAND-OFF", "ASKED AT", "BY", "FOR", "STATE", "TAKEN BY", "YOU"),
        [
            (
                one.id,
                f"{one.at:%Y-%m-%d %H:%M}",
                one.asked_by,
                one.to or "anybody",
                one.state,
                one.by or "",
                "" if one.state != "asked" else may[one.id] or "may take it",
            )
            for one in found
        ],
        empty="No hand-off is open." if not over else "No hand-off is over.",
    )
    if has_more:
        which = f"{project} --over" if over else project
        say(f"There are more: headrace feedback handoffs {which} --after {found[-1].id}")


def show_handoff(handoff_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show a hand-off: why, the conversation, who did what, and what the person answered."""
    with session(as_name) as s:
        found = handoffs.opened(s.app, s.me, handoff_id)
    if as_json:
        texts = {"why": found.why, "messages": found.messages, "text": found.text}
        print_json(_about(found.handoff) | texts)
        return
    rows = [("reason", found.why), *((one["role"], one["text"]) for one in found.messages)]
    if found.text is not None:
        rows.append((found.handoff.by or "person", found.text))
    print_table(("WHO", "SAYS"), rows, empty="")
    for one in found.handoff.steps:
        more = " ".join(one[name] for name in ("to", "note") if name in one)
        say(f"  {one['at'][:16]}  {one['step']:<9} {one['by']}  {more}".rstrip())


def take(handoff_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Take a hand-off, so that nobody else answers it."""
    with session(as_name) as s:
        kept = handoffs.take(s.app, s.me, handoff_id)
    _told(kept, as_json, f"{kept.by} has taken {kept.id}.", f"headrace feedback reply {kept.id} --text TEXT")


def put_back(
    handoff_id: Id,
    to: Annotated[str | None, typer.Option(help="For somebody else: a person, a role or a queue.")] = None,
    note: Annotated[str, typer.Option(help="Why.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Put a hand-off back that you have taken, for others."""
    with session(as_name) as s:
        kept = handoffs.put_back(s.app, s.me, handoff_id, to=to, note=note)
    _told(
        kept,
        as_json,
        f"{kept.id} waits for {kept.to or 'a person'}.",
        f"headrace feedback handoffs {kept.subject}",
    )


def reply(
    handoff_id: Id,
    text: Annotated[str, typer.Option(help="What you answer.")],
    end: Annotated[bool, typer.Option("--end", help="The AI says nothing more after it.")] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Answer a hand-off that you have taken; the answer goes back into the conversation."""
    with session(as_name) as s:
        kept = handoffs.answer(s.app, s.me, handoff_id, text, goes_on=not end)
    _told(kept, as_json, f"{kept.id} is answered, by {kept.by}.", f"headrace feedback handoff {kept.id}")


def _told(kept: Handoff, as_json: bool, said: str, following: str) -> None:
    if as_json:
        print_json(_about(kept))
        return
    say(said)
    say(f"Next: {following}")


def _about(one: Handoff) -> dict[str, Any]:
    return {name: value for name, value in vars(one).items() if name not in _TEXTS}
