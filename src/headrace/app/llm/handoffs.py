"""Hand-offs between an AI and people: with the context there, and with a person's answer back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from headrace.app.alerting.announcing import tell_again
from headrace.app.composition import App
from headrace.app.labels.feedback import MAX_TEXT
from headrace.app.labels.opinions import Said, find_answer, recorded_row, say_of_draft
from headrace.app.llm.prompting import question_of
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.identity import ROLES, Principal
from headrace.core.ids import new_id
from headrace.gateway.llm.calls import as_written
from headrace.gateway.llm.chat import text_of
from headrace.monitoring.handoffs import OPEN, Step, noted, transition
from headrace.projects.llm import llm_of
from headrace.store.handoffs import Handoff, HandoffState
from headrace.store.paging import through

MAX_MESSAGES = 200
_OVER = tuple(state for state in get_args(HandoffState) if state not in OPEN)
_LONGEST = 200_000
_MAX_WHY = 2_000
_ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A hand-off with its texts, for whoever answers it or asked for it.

    Attributes:
        messages: of the conversation, each with its role and text, masked.
        text: what the person answered; None before they have.
    """

    handoff: Handoff
    messages: list[dict[str, str]]
    why: str
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A person's answer on its way back into the conversation; ``message`` is appended to it as it is.

    Attributes:
        by: who answered, and ``at`` when.
        goes_on: whether the AI goes on after it.
    """

    id: str
    by: str
    at: str
    goes_on: bool
    message: dict[str, str]


def hand_over(
    app: App,
    me: Principal,
    project: str,
    answer: str,
    *,
    why: str,
    to: str = "",
    messages: Sequence[dict[str, Any]] | None = None,
) -> Handoff:
    """Hand a conversation to a person, with its context; durable when it returns.

    Args:
        answer: the id of its last answer, as ``headrace-answer`` says it.
        to: a person, a role, or a queue of ``llm.oversight.queues``; empty: whoever reviews drafts.
        messages: of the conversation; unless given, the question and the answer as they are on record.

    Raises:
        Denied: ``me`` may not ask the project, or asks about an answer of somebody else.
        NotFound: there is no such project or answer, and no such person or queue.
        InvalidInput: a reason is missing, or the messages are none.

    Example::

        hand_over(app, me, "support", answer_id, why="wants a refund", to="billing")
    """
    app.gatekeeper.require(me, "predict", f"project:{project}")
    found, declared = find_answer(app, project, answer), app.store.projects.get(project)
    answer_id = found.subject.partition(":")[0]
    row, rules = recorded_row(app, project, answer_id), app.access.privacy.rules(project)
    if row["principal"] != me.name:
        app.gatekeeper.require(me, "trace.read", f"project:{project}")
    if not 0 < len(why.strip()) <= len(why) <= _MAX_WHY:
        raise InvalidInput(f"The reason has {len(why):,} characters. Say why, in 1 to {_MAX_WHY:,} of them.")
    if messages is None:
        said = ("user", row.get(f"in_{question_of(declared)}")), ("assistant", row.get("out_predict"))
        messages = [{"role": role, "content": str(text)} for role, text in said if text is not None]
    people = _people(app, me, project, to)
    draft, now = app.store.drafts.find(answer_id), app.clock.now()
    handoff_id = new_id(now)
    place, seal = f"handoff {handoff_id}", app.payloads.seal
    masked = [{"role": role, "text": as_written(rules, text)} for role, text in _texts(messages)]
    made = Handoff(
        id=handoff_id,
        workspace=app.store.projects.workspace(project),
        subject=project,
        answer=answer_id,
        release_id=found.release_id,
        trace_id=draft.trace_id if draft is not None else answer_id.replace("-", ""),
        asked_by=me.name,
        at=now,
        to=to,
        people=people,
        user=None if row.get("key") is None else str(row["key"]),
        messages=seal(project, place, msgspec.json.encode(masked).decode()),
        why=seal(project, place, as_written(rules, why.strip())),
        steps=(noted(Step(kind="ask", by=me.name, at=now, to=to)),),
    )
    with app.store.transaction():
        _note(app, me, "ask", made)
        return app.store.handoffs.add(made)


def listed(
    app: App, me: Principal, project: str, *, over: bool = False, after: str = ""
) -> Iterator[Handoff]:
    """Hand-offs of a project that ``me`` may see: those that are open, the oldest first; they are read from
    the store only as far as somebody goes.

    Args:
        over: those that are not, instead, the newest first.
        after: the id of the one that they follow.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see, or no hand-off of it to go on after.
    """
    name, states = reading.project(app, me, project).name, _OVER if over else OPEN
    found = through(app.store.handoffs, name, states, after=after, newest=over, kind="hand-off")
    return (one for one in found if may_see(app, me, one))


def count_over(app: App, project: str) -> int:
    """How many hand-offs of a project are over; also those that a reader may not see."""
    return app.store.handoffs.count_of(project, _OVER)


def may_see(app: App, me: Principal, one: Handoff) -> bool:
    """Whether ``me`` has asked for it, may decide on drafts of the project, or may read its data."""
    allows, resource = app.gatekeeper.allows, f"handoff:{one.id}"
    own = one.asked_by == me.name and allows(me, "predict", f"project:{one.subject}")
    return own or allows(me, "draft.decide", resource) or allows(me, "data.read", resource)


def opened(app: App, me: Principal, handoff_id: str) -> Opened:
    """A hand-off with its texts.

    Raises:
        NotFound: there is none that ``me`` may see.
        Conflict: its texts are not kept any more.
    """
    found = _mine(app, me, handoff_id)
    if not found.messages:
        raise Conflict(
            f"The texts of hand-off {found.id} are not kept any more: they were erased, or are older than "
            "privacy.retention_days."
        )
    text = app.payloads.open(found.subject, found.place, found.final) if found.final else None
    return Opened(
        handoff=found,
        messages=msgspec.json.decode(app.payloads.open(found.subject, found.place, found.messages)),
        why=app.payloads.open(found.subject, found.place, found.why),
        text=text,
    )


def take(app: App, me: Principal, handoff_id: str) -> Handoff:
    """Take it, so that nobody else answers; doing it again changes nothing.

    Raises:
        Denied: ``me`` is no person, has asked for it, or is not who it is for.
        NotFound, IllegalTransition, Conflict: it is not there to be taken.
    """
    found = _for_person(app, me, handoff_id)
    if found.state == "taken" and found.by == me.name:
        return found
    return _moved(app, me, found, Step(kind="take", by=me.name, at=app.clock.now()))


def put_back(app: App, me: Principal, handoff_id: str, *, to: str | None = None, note: str = "") -> Handoff:
    """Give it to others: to those that it was for, or ``to`` somebody else.

    Raises:
        Denied: ``me`` has not taken it.
        NotFound, IllegalTransition: it is not there to be put back, and no such person or queue.
        InvalidInput: the note is too long.
    """
    found = _for_person(app, me, handoff_id, anyone=True)
    people = () if to is None else _people(app, me, found.subject, to)
    if len(note) > _MAX_WHY:
        raise InvalidInput(f"The note has {len(note):,} characters. Expected at most {_MAX_WHY:,}.")
    masked = as_written(app.access.privacy.rules(found.subject), note.strip())
    step = Step(kind="put_back", by=me.name, at=app.clock.now(), to=to, people=people, note=masked)
    with app.store.transaction():
        tell_again(app, found.subject, "handoff")
        return _moved(app, me, found, step)


def answer(app: App, me: Principal, handoff_id: str, text: str, *, goes_on: bool = True) -> Handoff:
    """Answer it; durable when it returns, and feedback on what the AI had said: its correction.

    Args:
        goes_on: whether the AI goes on after it, with the answer in its context.

    Raises:
        Denied: ``me`` has not taken it.
        NotFound, IllegalTransition: it is not there to be answered.
        InvalidInput: the text is missing or too long.
    """
    found = _for_person(app, me, handoff_id, anyone=True)
    if not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
        raise InvalidInput(f"The text has {len(text):,} characters. Expected 1 to {MAX_TEXT:,}.")
    sealed = app.payloads.seal(found.subject, found.place, text)
    step = Step(kind="answer", by=me.name, at=app.clock.now(), final=sealed, goes_on=goes_on)
    transition(found, step)
    # First, and by an id that its words give it: who is killed here says the same when they say it again.
    answered = find_answer(app, found.subject, found.answer)
    say_of_draft(app, me, found.subject, answered, Said(correction=text))
    return _moved(app, me, found, step)


def give_back(app: App, me: Principal, handoff_id: str) -> Reply:
    """A person's answer, for the conversation that it was asked for; asking again gives the same.

    Raises:
        Denied: ``me`` has not asked for it.
        NotFound: there is no such hand-off.
        Conflict: nobody has answered yet, or its texts are not kept any more.
    """
    found = _mine(app, me, handoff_id)
    if found.state in ("asked", "taken"):
        who = f"{found.by} has taken it" if found.by else f"it waits for {found.to or 'a person'}"
        raise Conflict(f"Hand-off {found.id} is not answered yet: {who}. Ask again later.")
    text = opened(app, me, found.id).text
    if found.state == "answered":
        found = _moved(app, me, found, Step(kind="return", by=me.name, at=app.clock.now()))
    elif found.asked_by != me.name:
        raise Denied(f"{found.asked_by!r} has asked for hand-off {found.id}: the answer goes to them.")
    if text is None or found.by is None:
        raise Conflict(f"Hand-off {found.id} is {found.state}: there is no answer.")
    at = next(one["at"] for one in reversed(found.steps) if one["step"] == "answer")
    message = {"role": "assistant", "content": text}
    return Reply(id=found.id, by=found.by, at=at, goes_on=found.goes_on, message=message)


def withdraw(app: App, me: Principal, handoff_id: str) -> Handoff:
    """Say that no answer is needed any more. Raises Denied, NotFound, IllegalTransition."""
    found = _mine(app, me, handoff_id)
    return _moved(app, me, found, Step(kind="withdraw", by=me.name, at=app.clock.now()))


def why_not(app: App, me: Principal, handoff: Handoff) -> str:
    """Why ``me`` cannot take it; empty if they can."""
    if not app.gatekeeper.allows(me, "draft.decide", f"handoff:{handoff.id}"):
        return "their roles do not let them, or they asked for it"
    described = app.access.resources.describe(f"handoff:{handoff.id}", me)
    mine = {me.name, *me.roles, *app.access.grants.roles(me.name, described)}
    if handoff.people and not mine & set(handoff.people):
        return f"it is for {handoff.to or ' or '.join(handoff.people)}"
    return ""


def forget_handoffs(app: App, project: str, which: Callable[[Handoff], bool]) -> int:
    """Forget the texts of hand-offs, as privacy demands; returns of how many. Who did what stays."""
    found = [one for one in app.store.handoffs.list(subject=project) if one.messages and which(one)]
    for one in found:
        step = Step(kind="forget", by="system:privacy", at=app.clock.now())
        app.store.handoffs.change(transition(one, step))
    return len(found)


def _people(app: App, me: Principal, project: str, to: str) -> tuple[str, ...]:
    """The names and roles that a person, a role or a queue stands for."""
    spec = llm_of(app.store.projects.get(project)).oversight
    if not to:
        return spec.reviewers
    if to in spec.queues:
        return spec.queues[to]
    if to in ROLES:
        return (to,)
    found = app.store.principals.find(to)
    if found is None or found.kind != "person" or found.workspace != me.workspace:
        queues = ", ".join(sorted(spec.queues)) or "none"
        raise NotFound(
            f"There is no person, role or queue {to[:80]!r}. Queues of {project!r} (llm.oversight.queues in "
            f"headrace.yaml): {queues}. Roles: {', '.join(ROLES)}."
        )
    return (to,)


def _texts(messages: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise InvalidInput(f"There are {len(messages)} messages. Expected 1 to {MAX_MESSAGES}.")
    for place, one in enumerate(messages):
        if one.get("role") not in _ROLES:
            raise InvalidInput(f"Message {place} has no role. Expected one of {', '.join(sorted(_ROLES))}.")
    texts = [(str(one["role"]), text_of(one.get("content"))) for one in messages]
    if sum(len(text) for _, text in texts) > _LONGEST:
        raise InvalidInput(f"The messages have more than {_LONGEST:,} characters. Leave the oldest out.")
    return texts


def _mine(app: App, me: Principal, handoff_id: str) -> Handoff:
    found = app.store.handoffs.find(handoff_id)
    if found is None or not may_see(app, me, found):
        raise NotFound(f"There is no hand-off {handoff_id[:80]!r} that you may see.")
    return found


def _for_person(app: App, me: Principal, handoff_id: str, *, anyone: bool = False) -> Handoff:
    """A hand-off of which ``me`` is the person; ``anyone``: who has it is asked by the transition."""
    found = _mine(app, me, handoff_id)
    app.gatekeeper.require(me, "draft.decide", f"handoff:{found.id}")
    if not anyone and (why := why_not(app, me, found)):
        raise Denied(f"{me.name!r} cannot take hand-off {found.id}: {why}.")
    return found


def _moved(app: App, me: Principal, before: Handoff, step: Step) -> Handoff:
    after = transition(before, step)
    with app.store.transaction():
        _note(app, me, step.kind, after)
        return app.store.handoffs.change(after)


def _note(app: App, me: Principal, what: str, one: Handoff) -> None:
    about = {"handoff": one.id, "answer": one.answer, "trace": one.trace_id, "release": one.release_id}
    detail = about | {"state": one.state, "to": one.to, "by": one.by}
    app.store.audit.append(me.name, f"handoff.{what}", f"project:{one.subject}", detail)
