"""``headrace feedback drafts | draft | decide``: people decide on the drafts of a language model."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace.app.llm import drafts
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import InvalidInput, NotFound
from headrace.store.drafts import Decided

Id = Annotated[str, typer.Argument(metavar="DRAFT_ID", help="Id of the draft, which is that of its answer.")]
_STATES: dict[str, Decided] = {"approve": "approved", "edit": "edited", "reject": "rejected"}


def list_drafts(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    decided: Annotated[bool, typer.Option("--decided", help="Those that were decided, instead.")] = False,
    after: Annotated[
        str, typer.Option(metavar="DRAFT_ID", help="Only those after the draft with this id.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List the answers that are drafts and wait for a person."""
    with session(as_name) as s:
        listed = drafts.listed(s.app, s.me, project, decided=decided, after=after)
        found = list(islice(listed, limit))
        has_more = next(listed, None) is not None
        may = {one.id: drafts.why_not(s.app, s.me, one) for one in found}
        questions = {one.id: drafts.question(s.app, one) for one in found}
    if as_json:
        texts = ("asked", "said", "final", "user")
        print_json(
            [
                {n: v for n, v in vars(one).items() if n not in texts} | {"question": questions[one.id]}
                for one in found
            ]
        )
        return
    print_table(
        ("DRAFT", "PROJECT", "ASKED AT", "BY", "DECIDES", "STATE", "DECIDED BY", "YOU", "QUESTION"),
        [
            (
                one.id,
                one.subject,
                f"{one.at:%Y-%m-%d %H:%M}",
                one.principal,
                one.decides,
                one.state,
                one.by or "",
                "" if one.state != "waiting" else may[one.id] or "may decide",
                questions[one.id],
            )
            for one in found
        ],
        empty="No draft waits.",
    )
    if has_more:
        which = f"{project} --decided" if decided else project
        say(f"There are more: headrace feedback drafts {which} --after {found[-1].id}")
    if found and not decided:
        say(f"Next: headrace feedback draft {found[0].id}")


def show_draft(draft_id: Id, as_name: As = None, as_json: Json = False) -> None:
    """Show a draft: what was asked, and what the model said."""
    with session(as_name) as s:
        found = drafts.opened(s.app, s.me, draft_id)
    if as_json:
        texts = ("asked", "said", "final", "user")
        about = {name: value for name, value in vars(found.draft).items() if name not in texts}
        shown = {"messages": found.messages, "text": found.text, "tools": found.tools, "final": found.final}
        print_json(about | shown)
        return
    rows = [(one["role"], one["text"]) for one in found.messages]
    rows.append(("draft", found.text))
    rows += [("wants to call", f"{one['name']} {one['arguments']}") for one in found.tools]
    if found.final is not None:
        rows.append(("the answer", found.final))
    print_table(("WHO", "SAYS"), rows, empty="")
    say(f"It is {found.draft.state}{', by ' + found.draft.by if found.draft.by else ''}.")


def decide(
    draft_id: Id,
    decision: Annotated[Literal["approve", "edit", "reject"], typer.Argument(help="What you decide.")],
    text: Annotated[str | None, typer.Option(help="The answer, where you edit it.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the answer, where you edit it.")] = None,
    reason: Annotated[str, typer.Option(help="Why; needed where you reject it.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Approve, edit or reject a draft: only then is there an answer, or none."""
    if file is not None:
        if text is not None:
            raise InvalidInput("Both --text and --file are given. Expected one of them.")
        if not file.is_file():
            raise NotFound(f"There is no file {str(file)!r}. Name the file that has the answer.")
        text = file.read_text(encoding="utf-8")
    with session(as_name) as s:
        kept = drafts.decide(s.app, s.me, draft_id, _STATES[decision], text=text, reason=reason)
    if as_json:
        print_json({"id": kept.id, "state": kept.state, "by": kept.by, "decided_at": kept.decided_at})
        return
    say(f"{kept.id} is {kept.state}, by {kept.by}.")
    say(f"Next: headrace feedback drafts {kept.subject}")
