"""People judge answers: what waits for them, what they say, and how far they agree."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from headrace.app.answers.input_kinds import latest_kinds, numeric_inputs
from headrace.app.composition import App
from headrace.app.labels.feedback import MAX_TEXT, Event, record_judgement
from headrace.app.labels.opinions import Kept, find_answer
from headrace.checks.agreement import Agreement, cohens_kappa
from headrace.core.errors import Denied, InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.monitoring.feedback import linked_feedback
from headrace.monitoring.ingest import ingest
from headrace.monitoring.labelling import CATEGORIES, CORRECTION, JUDGED, SOURCE, Waiting, waiting
from headrace.monitoring.windows import as_utc
from headrace.projects.llm import llm_of

Verdict = Literal["good", "bad"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What somebody says of an answer after they have looked at it.

    Attributes:
        categories: what is wrong with it, as the charter names it; of a good one, nothing.
        correction: what it should have been.
    """

    verdict: Verdict
    categories: tuple[str, ...] = ()
    correction: str | None = None
    comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """A judgement that stands: whose, of what, and when."""

    subject: str
    release_id: str
    by: str
    at: Any
    verdict: Verdict
    categories: tuple[str, ...]
    correction: str | None
    comment: str | None


@dataclass(frozen=True, kw_only=True)
class Between:
    """How far two people agree on whether answers are good."""

    one: str
    other: str
    agreement: Agreement


def queue(
    app: App, me: Principal, project: str, *, mine: bool = True, everything: bool = False, most: int = 50
) -> list[Waiting]:
    """Answers that wait to be judged, the surest to be poor first.

    Args:
        mine: without those that ``me`` has judged.
        everything: also those that enough people have judged.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
    """
    declared, by = _read(app, me, project), me.name if mine else None
    kinds = latest_kinds(app.store, declared.name)
    return waiting(declared, app.store.tables, kinds, by=by, everything=everything, most=most)


def judge(app: App, me: Principal, project: str, answer: str, judgement: Judgement) -> Kept:
    """Store what ``me`` says of an answer; saying it again changes it. It is durable when this returns.

    Raises:
        Denied: ``me`` is no person, or may not send labels or read the record.
        NotFound: there is no such answer.
        InvalidInput: a category is none of the project's, or a good answer has one; a text is too long.
    """
    if me.kind != "person":
        raise Denied(f"{me.name!r} is no person. What counts as judged by people is said by people.")
    app.gatekeeper.require(me, "label.write", f"project:{project}")
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    found = find_answer(app, project, answer)
    _check(judgement, categories_of(app.store.projects.get(project)))
    now, subject = app.clock.now(), found.subject
    said = {
        JUDGED: (judgement.verdict, judgement.comment),
        CATEGORIES: (bool(judgement.categories), " ".join(judgement.categories) or None),
        CORRECTION: (judgement.correction is not None, judgement.correction),
    }
    events = [
        Event(
            kind="opinion", subject=subject, name=name, value=value, text=text, happened_at=now,
            source=SOURCE, id=derived_id(subject, name),
        )
        for name, (value, text) in said.items()
    ]  # fmt: skip
    ids = record_judgement(app, me, project, events)
    return Kept(subject=subject, release_id=found.release_id, ids=ids)


def categories_of(project: Project) -> tuple[str, ...]:
    """What can be wrong with an answer of a project, as its charter names it. What there is by default is
    said of texts, and not of a number or a class."""
    declares = "categories" in project.llm.get("feedback", {})
    return llm_of(project).feedback.categories if declares or project.task == "text_generation" else ()


def labels(app: App, me: Principal, project: str) -> list[Label]:
    """All judgements that stand, the oldest first; who may is as of :func:`queue`."""
    declared = _read(app, me, project)
    rows = linked_feedback(declared.name, app.store.tables, names=(JUDGED, CATEGORIES, CORRECTION))
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for index, source in enumerate(rows.get("source", ())):
        if source == SOURCE:
            row = {name: values[index] for name, values in rows.items()}
            found[str(row["subject"]), str(row["principal"])][str(row["name"])] = row
    made = [
        Label(
            subject=subject,
            release_id=str(said[JUDGED]["release_id"]),
            by=by,
            at=as_utc(said[JUDGED]["happened_at"]),
            verdict="good" if said[JUDGED]["word"] == "good" else "bad",
            categories=tuple((_text(said, CATEGORIES) or "").split()),
            correction=_text(said, CORRECTION),
            comment=_text(said, JUDGED),
        )
        for (subject, by), said in found.items()
        if JUDGED in said
    ]
    return sorted(made, key=lambda one: (one.at, one.subject, one.by))


def agreement(app: App, me: Principal, project: str) -> list[Between]:
    """Of each two people who have judged the same answers; who may is as of :func:`queue`."""
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for one in labels(app, me, project):
        said[one.by][one.subject] = one.verdict
    found = []
    for one_, other in combinations(sorted(said), 2):
        both = sorted(said[one_].keys() & said[other].keys())
        measured = cohens_kappa([said[one_][each] for each in both], [said[other][each] for each in both])
        if measured is not None:
            found.append(Between(one=one_, other=other, agreement=measured))
    return found


def _read(app: App, me: Principal, project: str) -> Project:
    """The project, its tables up to date."""
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    declared = app.store.projects.get(project)
    ingest(project, app.store.events, app.store.tables, numeric=numeric_inputs(app.store, declared))
    return declared


def _check(judgement: Judgement, known: tuple[str, ...]) -> None:
    if judgement.verdict not in ("good", "bad"):
        raise InvalidInput(f"The verdict is {judgement.verdict[:40]!r}. Expected 'good' or 'bad'.")
    for name in judgement.categories:
        if name not in known:
            raise InvalidInput(
                f"There is no category {name[:64]!r}. Expected some of {', '.join(known)}; "
                "llm.feedback.categories in headrace.yaml names them."
                if known
                else f"There is no category {name[:64]!r}: the project has none. Leave it out, or name some "
                "under llm.feedback.categories in headrace.yaml."
            )
    if judgement.verdict == "good" and judgement.categories:
        raise InvalidInput(f"A good answer has no fault, got {', '.join(judgement.categories)}. Call it bad.")
    for field in ("correction", "comment"):
        text = getattr(judgement, field)
        if text is not None and not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
            raise InvalidInput(f"The {field} has {len(text):,} characters. Expected 1 to {MAX_TEXT:,}.")


def _text(said: dict[str, dict[str, Any]], name: str) -> str | None:
    text = said.get(name, {}).get("text")
    return text if isinstance(text, str) and text else None
