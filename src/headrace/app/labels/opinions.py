"""What a person says of one answer: thumbs, a rating, words, a better answer; and what they did with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from headrace.access.answer_tokens import TTL_S, AnswerToken, AnswerTokens
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.app.labels.feedback import MAX_SUBJECT, MAX_TEXT, Event, record_feedback, record_review
from headrace.core.errors import InvalidInput, NotFound, Unavailable
from headrace.core.identity import Expiring, Principal
from headrace.core.ids import derived_id
from headrace.core.record import FeedbackKind
from headrace.monitoring.ingest import ingest_table, predictions_table
from headrace.store.documents import convert

WIDGET = "widget"
"""Source of what browsers send."""
MOST_SENT = 200
"""How often a browser may say something of one answer."""
_SENT = "feedback"
_DAY_S = 86_400.0

Thumbs = Literal["up", "down", "none"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is said of an answer. All that is not given is left as it is.

    Attributes:
        thumbs: ``none`` takes back what was said before.
        rating: 1 (worst) to 5 (best).
        comment, complaint: in whose words; ``correction``: what the answer should have been.
        dwell_s: how long the answer was before somebody's eyes, in seconds.
        copied: all or a part of it was copied.
        edit_distance: of what was used of it, from 0 (as it was) to 1 (nothing of it).
        rephrased: the question was put again in other words; ``retried``: in the same ones.
        abandoned: its reader left without doing anything with it.
        by: whose word it is, where that is not who sends it; kept in the form of business keys.
        key: by which its source knows it; without one, what the same one says later replaces what they said.
    """

    thumbs: Thumbs | None = None
    rating: int | None = None
    comment: str | None = None
    correction: str | None = None
    complaint: str | None = None
    dwell_s: float | None = None
    copied: bool | None = None
    edit_distance: float | None = None
    rephrased: bool | None = None
    retried: bool | None = None
    abandoned: bool | None = None
    by: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was said is durable now, beside this row of this release."""

    subject: str
    release_id: str
    ids: list[str]


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A token by which a browser may say something of this answer until ``ends_at``, and do nothing else."""

    token: str
    subject: str
    release_id: str
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answered row."""

    subject: str
    release_id: str


def say_of(app: App, me: Principal, project: str, answer: str, said: Said) -> Kept:
    """Store what is said of an answer; it is durable when this returns, and saying it again changes nothing.

    Args:
        answer: its id, as ``headrace-answer`` says it; or ``ID:ROW``.

    Raises:
        Denied: ``me`` may not send labels of the project.
        NotFound: there is no such project or answer.
        InvalidInput: nothing is said, or something that cannot be.

    Example::

        say_of(app, me, "support", answer_id, Said(thumbs="down", comment="It costs 9 EUR.", by="user-7"))
    """
    app.gatekeeper.require(me, "label.write", f"project:{project}")
    found = find_answer(app, project, answer)
    _check(said)
    return _keep(app, me, project, found, said, None)


def offer(app: App, me: Principal, project: str, answer: str, *, ttl_s: int = TTL_S) -> Offered:
    """A token for a browser that shows the answer; what comes with it is stored as ``me`` having sent it.

    Raises as :func:`say_of`, and InvalidInput where it would live longer than a day.
    """
    app.gatekeeper.require(me, "label.write", f"project:{project}")
    found = find_answer(app, project, answer)
    tokens = AnswerTokens(app.access.keys, app.clock)
    token = tokens.make(project, found.subject, found.release_id, me.name, ttl_s=ttl_s)
    return Offered(
        token=token,
        subject=found.subject,
        release_id=found.release_id,
        ends_at=tokens.read(token).ends_at,
    )


def say_with_token(app: App, body: bytes) -> Kept:
    """Store what a browser says: JSON of :class:`Said` with ``token``, by which it is known of what.

    Raises:
        Unauthenticated: the token is none, has ended, or whoever asked for it may not act any more.
        Denied: they may not send labels any more.
        InvalidInput: nothing is said, or something that cannot be.
        Unavailable: this answer was talked about too often.
    """
    try:
        raw = msgspec.json.decode(body, type=dict[str, Any])
        text = raw.pop("token", None)
        unknown = sorted(raw.keys() - {one.name for one in fields(Said)} | raw.keys() & {"by", "key"})
        if not isinstance(text, str) or unknown:
            raise ValueError(f"unknown field {unknown[0]!r}" if unknown else "'token' is missing")
        said = convert(raw, Said)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is no feedback ({error}). Expected a JSON object with 'token'.") from error
    token = AnswerTokens(app.access.keys, app.clock).read(text)
    sender = app.identities.resolve(token.principal)
    app.gatekeeper.require(sender, "label.write", f"project:{token.project}")
    _check(said)  # what cannot be stored does not use the answer's sends up
    _count(app, token)
    answered = Answered(subject=token.subject, release_id=token.release_id)
    return _keep(app, sender, token.project, answered, said, WIDGET)


def say_of_draft(app: App, me: Principal, project: str, answered: Answered, said: Said) -> Kept:
    """Store what a decision on a draft says of the answer; who may decide needs no other permission."""
    _check(said)
    return _keep(app, me, project, answered, said, record=record_review)


def find_answer(app: App, project: str, answer: str) -> Answered:
    """The row that was answered: the first one of an answer, unless ``ID:ROW`` names another.

    Raises:
        NotFound: no such answer is in the record.
    """
    declared = app.store.projects.get(project)
    table, tables = predictions_table(project), app.store.tables
    ingest_table(table, app.store.events, tables, numeric=numeric_inputs(app.store, declared))
    subject = answer if ":" in answer else f"{answer}:0"
    if tables.version(table) is not None:
        sql = "select release_id from p where subject = ? and arm <> 'shadow' limit 1"
        found = tables.query(sql, {"p": (table, None)}, [subject])["release_id"]
        if len(found):
            return Answered(subject=subject, release_id=str(found[0]))
    raise NotFound(
        f"There is no answer {answer[:80]!r} in the record of {project!r}. Expected the id it came with: "
        "'headrace-answer' of a call to a language model, 'id' of a prediction."
    )


def recorded_row(app: App, project: str, answer: str) -> dict[str, Any]:
    """The first row as it is on record, where somebody has looked the answer up before: whoever finds one, as
    :func:`around_answer` does, brings the table up to date."""
    table = predictions_table(project)
    sql = "select * from p where prediction_id = ? and arm <> 'shadow' order by subject limit 1"
    found = app.store.tables.query(sql, {"p": (table, None)}, [answer])
    return {name: _plain(values[0]) for name, values in found.items()}


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if plain != plain else plain  # noqa: PLR0124  a number that is none


def _keep(
    app: App,
    me: Principal,
    project: str,
    answered: Answered,
    said: Said,
    source: str | None = None,
    *,
    record: Callable[[App, Principal, str, Sequence[Event]], list[str]] = record_feedback,
) -> Kept:
    now = app.clock.now()
    events = [
        replace(
            event,
            id=derived_id(answered.subject, event.name, *(() if said.key is None else (said.key,))),
            source=source,
            by=said.by,
        )
        for event in _events(said, answered.subject, now)
    ]
    ids = record(app, me, project, events)
    return Kept(subject=answered.subject, release_id=answered.release_id, ids=ids)


def _check(said: Said) -> None:
    for field, got, expected in _faults(said):
        shown = repr(got) if len(repr(got)) <= 80 else f"{repr(got)[:80]}..."
        raise InvalidInput(f"{field} is {shown}. Expected {expected}.")
    if said == Said(by=said.by, key=said.key):
        raise InvalidInput("Nothing is said of the answer. Give thumbs, a rating, a comment or the like.")


def _events(said: Said, subject: str, now: datetime) -> Iterator[Event]:
    def event(kind: FeedbackKind, name: str, value: bool | float | str | None, text: str | None) -> Event:
        return Event(kind=kind, subject=subject, name=name, value=value, text=text, happened_at=now)

    if said.thumbs is not None:
        # Each of the two by its own name, so that a KPI can count it; what is not so any more is taken back.
        yield event("opinion", "thumbs_up", said.thumbs == "up", None)
        yield event("opinion", "thumbs_down", said.thumbs == "down", None)
    if said.rating is not None:
        yield event("opinion", "rating", said.rating, None)
    for name in ("comment", "correction", "complaint"):
        text = getattr(said, name)
        if text is not None:
            yield event("opinion", name, None, text)
    for name in ("dwell_s", "copied", "edit_distance", "rephrased", "retried", "abandoned"):
        value = getattr(said, name)
        if value is not None:
            yield event("reaction", name, value, None)


def _faults(said: Said) -> Iterator[tuple[str, object, str]]:
    if said.thumbs not in (None, "up", "down", "none"):
        yield "thumbs", said.thumbs, "'up', 'down', or 'none' to take it back"
    if said.rating is not None and (isinstance(said.rating, bool) or said.rating not in range(1, 6)):
        yield "rating", said.rating, "a whole number from 1 (worst) to 5 (best)"
    for name in ("comment", "correction", "complaint"):
        text = getattr(said, name)
        if text is not None and not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
            yield name, text, f"1 to {MAX_TEXT:,} characters"
    for name, most in (("dwell_s", _DAY_S), ("edit_distance", 1.0)):
        value = getattr(said, name)
        if value is not None and not 0 <= value <= most:
            yield name, value, f"a number from 0 to {most:,.0f}"
    for name in ("by", "key"):
        text = getattr(said, name)
        if text is not None and not 0 < len(text) <= MAX_SUBJECT:
            yield name, text, f"1 to {MAX_SUBJECT} characters"


def _count(app: App, token: AnswerToken) -> None:
    """A token is in the hands of whoever sees the page: it fills no disk."""
    key = derived_id(_SENT, token.project, token.subject)

    def more(standing: Expiring | None) -> Expiring:
        n_sent = 0 if standing is None else int(standing.value)
        ends_at = token.ends_at if standing is None else max(token.ends_at, standing.ends_at)
        value = str(min(n_sent + 1, MOST_SENT + 1))
        return Expiring(kind=_SENT, key=key, subject=key, value=value, ends_at=ends_at)

    counted = app.store.expiring.change(_SENT, key, more, most=1)
    if counted is not None and int(counted.value) > MOST_SENT:
        raise Unavailable(f"So much was said of this answer that no more is taken ({MOST_SENT} times).")
