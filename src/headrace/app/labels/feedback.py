"""Feedback comes in: what people did around an answer, and what it earned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from headrace.access.privacy.fields import FieldRules
from headrace.app.composition import App
from headrace.checks.columns import LARGEST
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.record import Feedback, FeedbackKind
from headrace.monitoring.feedback import LABEL
from headrace.monitoring.labelling import CATEGORIES, JUDGED, SOURCE
from headrace.store.documents import convert
from headrace.store.records import encode_feedback

MAX_NAME, MAX_SUBJECT, MAX_PAGE, MAX_TEXT = 64, 300, 500, 10_000
"""Characters."""
_AT_ONCE = 5_000
_BY_PEOPLE = (JUDGED, CATEGORIES)
"""Names of events by which people judge answers: those are no claim of a system."""
_CLOCK_S = 300.0
"""How far the clock of a source may be ahead of ours."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that is reported of an answer; see :class:`headrace.core.record.Feedback`.

    Attributes:
        id: by which its source knows it: reported again by the same principal it counts once, and the newest
            report is valid; nobody corrects what another one reported. None: it is told from others by all
            that it says.
        by: whose word it is, where that is not who sends it: a user, in the form of business keys.
    """

    kind: FeedbackKind
    subject: str
    name: str
    happened_at: datetime
    value: bool | float | str | None = None
    id: str | None = None
    page: str | None = None
    text: str | None = None
    source: str | None = None
    by: str | None = None


def record_feedback(app: App, me: Principal, project: str, events: Sequence[Event]) -> list[str]:
    """Store feedback; all of it is durable when it returns. Repeats change nothing. Returns an id for each.

    The answer need not be there yet: it is looked for whenever something is measured.

    Raises:
        Denied: ``me`` may not send labels of the project.
        NotFound: there is no such project.
        InvalidInput: an event cannot be; nothing is stored then.
    """
    _require(app, me, project)
    named = [(f"feedback[{index}]", event) for index, event in enumerate(events)]
    return _store(app, me, project, named, app.clock.now())


def record_judgement(app: App, me: Principal, project: str, events: Sequence[Event]) -> list[str]:
    """As :func:`record_feedback`, where a person has looked at the answer and judged it."""
    _require(app, me, project)
    named = [("The judgement", event) for event in events]
    return _store(app, me, project, named, app.clock.now(), judged=True)


def record_review(app: App, me: Principal, project: str, events: Sequence[Event]) -> list[str]:
    """As :func:`record_feedback`, of whom it is known already that they may decide on the answer."""
    named = [("The decision", event) for event in events]
    return _store(app, me, project, named, app.clock.now())


def import_feedback(app: App, me: Principal, project: str, path: Path) -> int:
    """Store the feedback of a file that has one JSON object a line, each an :class:`Event`; returns how many.

    Of lines with one id the last one is valid. Killed anywhere, doing it again stores the rest.

    Raises:
        Denied: ``me`` may not send labels of the project.
        NotFound: there is no such project or file.
        InvalidInput: a line is no event; what stands before it may be stored.
    """
    _require(app, me, project)
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Give a file with one JSON object a line.")
    n_stored, at = 0, app.clock.now()
    with path.open("rb") as lines:
        events = (
            (f"Line {number}", _event(line, number))
            for number, line in enumerate(lines, start=1)
            if line.strip()
        )
        while part := list(islice(events, _AT_ONCE)):
            n_stored += len(_store(app, me, project, part, at, later_wins=True))
            at = max(app.clock.now(), at + timedelta(microseconds=1))  # the newest report is valid
    return n_stored


def _require(app: App, me: Principal, project: str) -> None:
    app.gatekeeper.require(me, "label.write", f"project:{project}")
    app.store.projects.get(project)


def _store(
    app: App,
    me: Principal,
    project: str,
    named: Sequence[tuple[str, Event]],
    at: datetime,
    *,
    later_wins: bool = False,
    judged: bool = False,
) -> list[str]:
    """Each event with what it is called where it is refused; two of one id are, unless the later one wins."""
    rules = app.access.privacy.rules(project)
    made: dict[str, tuple[str, Feedback]] = {}
    ids: list[str] = []
    for where, event in named:
        if not judged and (event.name in _BY_PEOPLE or event.source == SOURCE):
            what = f"name is {event.name!r}" if event.name in _BY_PEOPLE else f"source is {event.source!r}"
            raise InvalidInput(
                f"{where}: {what}. Expected another one: people judge answers by headrace feedback label, or "
                "on the page of the project."
            )
        one = _feedback(rules, me.name, event, where, at)
        ids.append(one.id)
        before, said = made.get(one.id, (where, one))
        if one != said and not later_wins:
            raise InvalidInput(
                f"{where} and {before} have the same id and say different things. Send one of them; what "
                "corrects it goes into a later request."
            )
        made[one.id] = where, one
    app.store.events.append(f"{project}/feedback", [encode_feedback(one) for _, one in made.values()])
    return ids


def _event(line: bytes, number: int) -> Event:
    known = {field.name for field in fields(Event)}
    try:
        raw = msgspec.json.decode(line, type=dict[str, Any])
        odd = sorted(raw.keys() - known)
        if odd:
            raise ValueError(f"unknown field {odd[0]!r}")
        event = convert(raw, Event)
        moment = event.happened_at
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(
            f"Line {number} is no feedback ({error}). Expected a JSON object of {', '.join(sorted(known))}."
        ) from error
    return replace(event, happened_at=moment)


def _feedback(rules: FieldRules, principal: str, event: Event, where: str, now: datetime) -> Feedback:
    for field, got, expected in _faults(event, now):
        shown = repr(got) if len(repr(got)) <= 80 else f"{repr(got)[:80]}..."
        raise InvalidInput(f"{where}: {field} is {shown}. Expected {expected}.")
    project, subject = rules.project.name, rules.subject(event.subject)
    value = event.value if isinstance(event.value, str) else _number(event.value)
    page, text = event.page, event.text
    happened_at = event.happened_at.isoformat()
    what = event.kind, subject, event.name, repr(value), happened_at, page or "", text or ""
    by = None if event.by is None else rules.subject(event.by)
    sender = (principal, event.source or "", *(() if by is None else (by,)))
    if rules.project.privacy.personal and page is not None:
        page = page.partition("?")[0].partition("#")[0]  # where addresses carry names and tokens
    return Feedback(
        id=derived_id(project, "feedback", *sender, *(what if event.id is None else (event.id,))),
        project=project,
        kind=event.kind,
        subject=subject,
        name=event.name,
        value=rules.remark(value) if isinstance(value, str) else value,
        happened_at=event.happened_at,
        at=now,
        principal=principal,
        page=None if page is None else rules.remark(page),
        text=None if text is None else rules.remark(text),
        source=event.source,
        by=by,
    )


def _faults(event: Event, now: datetime) -> Iterator[tuple[str, object, str]]:
    """What cannot be: its field, what it is, and what was expected."""
    for field, got, most in (
        ("subject", event.subject, MAX_SUBJECT),
        ("name", event.name, MAX_NAME),
        ("id", event.id, MAX_SUBJECT),
        ("source", event.source, MAX_NAME),
        ("by", event.by, MAX_SUBJECT),
    ):
        if not (got is None and field in ("id", "source", "by")) and not 0 < len(got or "") <= most:
            yield field, got, f"1 to {most} characters"
    for field, got, most in (("page", event.page, MAX_PAGE), ("text", event.text, MAX_TEXT)):
        if got is not None and len(got) > most:
            yield field, got, f"at most {most:,} characters"
    if event.name == LABEL:
        yield "name", event.name, "another one: what turned out to be true is sent as a label"
    if isinstance(event.value, str):
        if not 0 < len(event.value) <= MAX_NAME:
            yield "value", event.value, f"a number, true, false, or 1 to {MAX_NAME} characters"
    elif event.value is not None and not abs(event.value) <= LARGEST:
        yield "value", event.value, f"a number up to {LARGEST:.1e}"
    if event.happened_at > now + timedelta(seconds=_CLOCK_S):
        yield (
            "happened_at",
            event.happened_at.isoformat(),
            (
                f"a moment that is not in the future; it is {now:%Y-%m-%d %H:%M} UTC, "
                "as which a time without an offset is taken"
            ),
        )


def _number(value: bool | float | None) -> bool | float | None:
    return value if value is None or isinstance(value, bool) else float(value)
