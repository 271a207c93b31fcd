"""People decide on the drafts of a language model: what waits, what they decide, and what its caller gets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import msgspec

from headrace.app.compliance import waiver_for
from headrace.app.composition import App
from headrace.app.labels.feedback import MAX_TEXT
from headrace.app.labels.opinions import Answered, Said, say_of_draft
from headrace.app.overviews import reading
from headrace.checks.tasks import GENERATIVE
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, Denied, InternalError, InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.gateway.llm.calls import as_written
from headrace.gateway.llm.chat import text_of
from headrace.gateway.llm.drafting import shown
from headrace.monitoring.messages import BEGINNING, beginning, question_in
from headrace.projects.llm import never_alone, starts_with_drafts
from headrace.releases.waivers import DRAFTS
from headrace.store.drafts import Decided, Draft
from headrace.store.paging import through

NOTICE = "Answers begin as drafts that wait for a person (llm.oversight.faces); see headrace.yaml."
DECISIONS: tuple[Decided, ...] = ("approved", "edited", "rejected")
_log = logging.getLogger(__name__)
_WAITING, _OVER = ("waiting",), (*DECISIONS, "expired")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A draft with its texts, for whoever decides on it.

    Attributes:
        messages: of the request, each with its role and text.
        text: what the model said; ``tools``: what it wants to call, by name and arguments.
        final: what the caller gets; None unless it was decided so.
    """

    draft: Draft
    messages: list[dict[str, str]]
    text: str
    tools: list[dict[str, str]]
    final: str | None


def begins_as_draft(app: App, project: Project, author: str) -> str:
    """That answers wait for a person, in a sentence; empty where they do not, or leave is given.

    Args:
        project: as it is declared, or as the release was made.
        author: of the release, or who would be.
    """
    if project.task not in GENERATIVE or not starts_with_drafts(project):
        return ""
    if not never_alone(project) and waiver_for(app, project.name, DRAFTS, author) is not None:
        return ""
    return NOTICE


def listed(
    app: App, me: Principal, project: str, *, decided: bool = False, after: str = ""
) -> Iterator[Draft]:
    """Drafts of a project that wait and that ``me`` may read, the oldest first; they are read from the store
    only as far as somebody goes.

    Args:
        decided: those that are over instead, the newest first.
        after: the id of the draft that they follow.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see, or no draft of it to go on after.

    Example::

        first = list(islice(listed(app, me, "support"), 100))
        then = list(islice(listed(app, me, "support", after=first[-1].id), 100))
    """
    name, states = reading.project(app, me, project).name, _OVER if decided else _WAITING
    found = through(app.store.drafts, name, states, after=after, newest=decided, kind="draft")
    return (one for one in found if may_read(app, me, one))


def count(app: App, project: str, *, decided: bool = False) -> int:
    """How many drafts of a project wait, or were decided; also those that a reader may not see."""
    return app.store.drafts.count_of(project, _OVER if decided else _WAITING)


def question(app: App, draft: Draft) -> str:
    """The beginning of what was asked, masked as the record is, for whoever may read the draft.

    Empty once its texts are not kept, and where they cannot be read: one draft hides no others.

    Example::

        [question(app, one) for one in listed(app, me, "support")]
    """
    if not draft.asked:
        return ""
    try:
        asked = question_in(app.payloads.open(draft.subject, draft.place, draft.asked))
    except (Unavailable, InternalError):
        _log.warning("What draft %s was asked cannot be read", draft.id, exc_info=True)
        return ""
    return beginning(as_written(app.access.privacy.rules(draft.subject), asked[:BEGINNING]))


def opened(app: App, me: Principal, draft_id: str) -> Opened:
    """A draft with its texts.

    Raises:
        Denied: ``me`` may not decide on drafts of the project.
        NotFound: there is no such draft.
        Conflict: its texts are not kept any more.
    """
    if not _may_read(app, me, draft_id):
        # Before it is looked for: who may not read it does not learn whether it is there.
        app.gatekeeper.require(me, "data.read", f"draft:{draft_id}")
    draft = app.store.drafts.get(draft_id)
    completion = _completion(app, draft)
    message = completion["choices"][0]["message"]
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    text = text_of(message.get("content"))
    messages = msgspec.json.decode(app.payloads.open(draft.subject, draft.place, draft.asked))
    edited = None if draft.final is None else app.payloads.open(draft.subject, draft.place, draft.final)
    return Opened(
        draft=draft,
        messages=[{"role": one["role"], "text": text_of(one.get("content"))} for one in messages],
        text=text,
        tools=[{"name": str(c.get("name")), "arguments": str(c.get("arguments", ""))} for c in calls],
        final=text if draft.state == "approved" else edited,
    )


def decide(
    app: App, me: Principal, draft_id: str, decision: Decided, *, text: str | None = None, reason: str = ""
) -> Draft:
    """Decide on a draft, once; it is durable when this returns. Doing it again as the same changes nothing.

    What was made of the answer is feedback on it: an edited text is its correction.

    Args:
        text: of the answer, where it is ``edited``; ``reason``: why, where it is ``rejected``.

    Raises:
        Denied: ``me`` is no person, asked for it, or is not who reviews it.
        NotFound: there is no such draft.
        Conflict: it was decided otherwise, or is not kept any more.
        InvalidInput: a text is missing or too long, or given where there is none.
    """
    permitted = app.gatekeeper.require(me, "draft.decide", f"draft:{draft_id}")
    draft = app.store.drafts.get(draft_id)
    if why := why_not(app, me, draft):
        raise Denied(f"{me.name!r} cannot decide on draft {draft.id}: {why}.")
    _check(decision, text, reason)
    now = app.clock.now()
    made = replace(
        draft,
        state=decision,
        by=me.name,
        decided_at=now,
        reason=reason.strip(),
        final=None if text is None else app.payloads.seal(draft.subject, draft.place, text),
        revision=draft.revision + 1,
    )
    if draft.state != "waiting":
        said = None if draft.final is None else app.payloads.open(draft.subject, draft.place, draft.final)
        if (draft.state, draft.by, draft.reason, said) != (made.state, made.by, made.reason, text):
            raise Conflict(f"Draft {draft.id} is {draft.state}, by {draft.by or 'nobody'}. It stays so.")
        return _tell(app, draft)
    completion = _completion(app, draft)
    detail = {
        "draft": draft.id,
        "decision": decision,
        "reason": made.reason,
        "release": draft.release_id,
        "trace": draft.trace_id,
        "digest": digest_bytes(msgspec.json.encode(completion["choices"])),
    }
    if text is not None:
        detail["final"] = digest_bytes(text.encode())
    with app.store.transaction():
        app.store.audit.append(me.name, "draft.decide", f"project:{draft.subject}", detail | permitted.basis)
        kept = app.store.drafts.change(made)
    return _tell(app, kept)


def given(app: App, me: Principal, draft_id: str) -> bytes:
    """What its caller gets of a draft now, as a chat completion: the answer once a person has decided so.

    Raises:
        NotFound: ``me`` has asked for no such answer, and may not read drafts either.
        Conflict: its texts are not kept any more.
    """
    draft = app.store.drafts.find(draft_id)
    mine = draft is not None and (
        draft.principal == me.name and app.gatekeeper.allows(me, "predict", f"project:{draft.subject}")
    )
    if draft is None or not (mine or may_read(app, me, draft)):
        raise NotFound(f"There is no draft {draft_id[:80]!r} of an answer that you have asked for.")
    edited = None if draft.final is None else app.payloads.open(draft.subject, draft.place, draft.final)
    return shown(draft, _completion(app, draft), by_person=edited)


def may_read(app: App, me: Principal, draft: Draft) -> bool:
    """Whether ``me`` may see its texts: whoever may decide on it or reads the record."""
    return _may_read(app, me, draft.id)


def _may_read(app: App, me: Principal, draft_id: str) -> bool:
    keeper, resource = app.gatekeeper, f"draft:{draft_id}"
    return keeper.allows(me, "draft.decide", resource) or keeper.allows(me, "data.read", resource)


def why_not(app: App, me: Principal, draft: Draft) -> str:
    """Why ``me`` cannot decide on it; empty if they can."""
    if not app.gatekeeper.allows(me, "draft.decide", f"draft:{draft.id}"):
        return "who asked for it never decides, and others need a role that may"
    described = app.access.resources.describe(f"draft:{draft.id}", me)
    mine = {me.name, *me.roles, *app.access.grants.roles(me.name, described)}
    if draft.reviewers and not mine & set(draft.reviewers):
        return f"{' or '.join(draft.reviewers)} reviews it (llm.oversight.reviewers)"
    return ""


def forget_drafts(app: App, project: str, which: Callable[[Draft], bool]) -> int:
    """Forget the texts of drafts, as privacy demands; returns of how many. Who decided what stays."""
    n_forgotten = 0
    for draft in app.store.drafts.list(subject=project):
        if draft.said and which(draft):
            state = "expired" if draft.state == "waiting" else draft.state
            blank = replace(
                draft, asked="", said="", final=None, user=None, state=state, revision=draft.revision + 1
            )
            app.store.drafts.change(blank)
            n_forgotten += 1
    return n_forgotten


def tell_decisions(app: App) -> int:
    """Store as feedback what was decided where a process was killed in between; returns how many."""
    late = [
        one
        for state in DECISIONS
        for one in app.store.drafts.list(state=state)
        if not one.is_told and one.said
    ]
    for draft in late:
        _tell(app, draft)
    return len(late)


def _tell(app: App, draft: Draft) -> Draft:
    """Feedback has the ids that its words give it, so that saying it twice is saying it once."""
    if draft.is_told or draft.by is None:
        return draft
    said = Said(edit_distance=0.0)
    if draft.final is not None:
        text = app.payloads.open(draft.subject, draft.place, draft.final)
        before = text_of(_completion(app, draft)["choices"][0]["message"].get("content"))
        said = Said(correction=text, edit_distance=_distance(before, text))
    elif draft.state == "rejected":
        said = Said(thumbs="down", comment=draft.reason, edit_distance=1.0)
    answered = Answered(subject=f"{draft.id}:0", release_id=draft.release_id)
    say_of_draft(app, app.identities.resolve(draft.by), draft.subject, answered, said)
    return app.store.drafts.change(replace(draft, is_told=True, revision=draft.revision + 1))


def _distance(before: str, after: str) -> float:
    """Share of the words that were changed."""
    return 1.0 - SequenceMatcher(None, before.split(), after.split(), autojunk=False).ratio()


def _check(decision: str, text: str | None, reason: str) -> None:
    if decision not in DECISIONS:
        raise InvalidInput(f"The decision is {decision[:40]!r}. Expected one of {', '.join(DECISIONS)}.")
    if (decision == "edited") != (text is not None):
        what = "needs the text" if decision == "edited" else "takes no text"
        raise InvalidInput(
            f"A draft that is {decision} {what} of the answer. Only an edited one has its own."
        )
    if text is not None and not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
        raise InvalidInput(f"The text has {len(text):,} characters. Expected 1 to {MAX_TEXT:,}.")
    if decision == "rejected" and not reason.strip():
        raise InvalidInput("Whoever rejects a draft says why: give a reason.")
    if len(reason) > MAX_TEXT:
        raise InvalidInput(f"The reason has {len(reason):,} characters. Expected at most {MAX_TEXT:,}.")


def _completion(app: App, draft: Draft) -> dict[str, Any]:
    if not draft.said:
        raise Conflict(
            f"The texts of draft {draft.id} are not kept any more: they were erased, or are older than "
            "privacy.retention_days."
        )
    found: dict[str, Any] = msgspec.json.decode(app.payloads.open(draft.subject, draft.place, draft.said))
    return found
