"""Evaluation sets whose labels people have given: their versions, and whether a prompt was tested on one.

A version is what it holds: it is known by a digest of its rows, and says who has signed it and when. Of a row
only a digest is kept, so that nothing that somebody has asked is kept once more.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from headrace.app.composition import App
from headrace.app.labels.judged import judged
from headrace.app.overviews import reading
from headrace.checks.answers import label_text
from headrace.checks.columns import is_missing
from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Measurement
from headrace.data.sources import read_file
from headrace.training.training_set import input_columns

NAME = "evaluation_set"
_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """One version of labels that people have given.

    Attributes:
        digest: of its rows, whatever their order.
        by: who signs that people have given the labels; ``origin``: the file, or ``judgements``.
    """

    version: int
    digest: str
    n_rows: int
    by: str
    origin: str
    at: datetime


class Signed(NamedTuple):
    """How many of some rows people have labelled, and in which versions these stand."""

    n: int
    versions: list[int]


def sign(app: App, me: Principal, project: str, path: Path) -> EvaluationSet:
    """Keep, as ``me`` says, that people have given the labels of a table; the same rows are the same version.

    Raises:
        Denied: ``me`` is no person, or may not send labels of the project.
        NotFound: there is no such project or file.
        InvalidInput: the file lacks the question or the label, or has no row with both.
    """
    app.gatekeeper.require(me, "label.write", f"project:{project}")
    question, target = _columns(app.store.projects.get(project))
    table = read_file(path)
    missing = [name for name in (question, target) if name not in table]
    if missing:
        raise InvalidInput(
            f"{path.name!r} has no column {missing[0]!r} (has: {', '.join(table)}). Expected the question "
            "and the label as headrace.yaml names them."
        )
    return _add(app, me, project, _digests(table[question], table[target]), path.name)


def draw(app: App, me: Principal, project: str, path: Path) -> EvaluationSet:
    """Write a table of what people have judged, and keep it as a version: an answer found to be good is
    the label of its question, and of a bad one its correction by who judged it.

    Raises:
        Denied, NotFound: as :func:`sign`, or ``me`` may not read the record.
        Conflict: the file exists.
        InvalidInput: nothing was judged that gives a label.
    """
    app.gatekeeper.require(me, "label.write", f"project:{project}")
    question, target = _columns(app.store.projects.get(project))
    found: dict[str, str] = {}
    for one in judged(app, me, project):
        label = one.answer if one.good else one.correction if one.signed and one.good is False else None
        if label and one.question:
            found[one.question] = label.replace("|", "/")  # which would stand between two ways to say it
    if not found:
        raise InvalidInput(
            "Nobody has judged an answer good, or corrected one, yet. Begin with: "
            f"headrace feedback queue {project}"
        )
    try:
        with path.open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([question, target])
            writer.writerows(found.items())
    except FileExistsError as error:
        raise Conflict(f"{str(path)!r} exists. Name another file; nothing was written.") from error
    table = read_file(path)
    return _add(app, me, project, _digests(table[question], table[target]), "judgements")


def evaluation_sets(app: App, project: str) -> list[EvaluationSet]:
    """All versions, the oldest first."""
    return [
        EvaluationSet(
            version=version,
            digest=one.detail["digest"],
            n_rows=one.n_rows,
            by=one.detail["by"],
            origin=one.detail["origin"],
            at=one.at,
        )
        for version, one in enumerate(_kept(app, project), start=1)
    ]


def listed(app: App, me: Principal, project: str) -> list[EvaluationSet]:
    """As :func:`evaluation_sets`. Raises Denied, NotFound: ``me`` may not see the project."""
    return evaluation_sets(app, reading.project(app, me, project).name)


def signed_rows(app: App, project: str, questions: Iterable[Any], labels: Iterable[Any]) -> Signed:
    """Of how many of these rows people have signed exactly this label."""
    rows, versions, n = _digests(questions, labels), [], set()
    for version, one in enumerate(_kept(app, project), start=1):
        shared = rows & set(one.detail["rows"])
        if shared:
            versions.append(version)
            n |= shared
    return Signed(len(n), versions)


def _kept(app: App, project: str) -> list[Measurement]:
    found = app.store.evidence.measurements(project, name=NAME)
    return sorted(found, key=lambda one: (one.at, one.id))


def _add(app: App, me: Principal, project: str, rows: set[str], origin: str) -> EvaluationSet:
    if me.kind != "person":
        raise Denied(f"{me.name!r} is no person. That people have given labels is signed by a person.")
    if not rows:
        raise InvalidInput(f"{origin!r} has no row with both a question and a label. Nothing is kept.")
    digest = digest_of(sorted(rows))
    made = derived_id(project, NAME, digest)
    if all(one.id != made for one in _kept(app, project)):
        detail = {"digest": digest, "by": me.name, "origin": origin}
        kept = Measurement(
            id=made, project=project, name=NAME, value=float(len(rows)), n_rows=len(rows),
            at=app.clock.now(), detail=detail | {"rows": sorted(rows)},
        )  # fmt: skip
        with app.store.transaction():
            app.store.audit.append(
                me.name, "feedback.sign", f"project:{project}", detail | {"rows": len(rows)}
            )
            app.store.evidence.measure([kept])
    return next(one for one in evaluation_sets(app, project) if one.digest == digest)


def _columns(project: Project) -> tuple[str, str]:
    texts = [column.name for column in input_columns(project) if column.role == "text"]
    if not texts or project.data.target is None:
        raise InvalidInput(f"{project.name!r} has no question in free text with a label. Nothing is kept.")
    return texts[0], project.data.target


def _digests(questions: Iterable[Any], labels: Iterable[Any]) -> set[str]:
    return {
        digest_of([label_text(question), label_text(label)])[:_DIGITS]
        for question, label in zip(questions, labels, strict=True)
        if not (is_missing(question) or is_missing(label))
    }
