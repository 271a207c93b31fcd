"""Answers beside what people have said of them: what evaluation sets and preference data are made of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.monitoring.feedback import linked_feedback
from headrace.monitoring.ingest import ingest, predictions_table, quoted
from headrace.monitoring.labelling import CORRECTION, JUDGED, SOURCE
from headrace.training.training_set import input_columns

_NAMES = (JUDGED, CORRECTION, "thumbs_up", "thumbs_down")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One answer, and what was said of it.

    Attributes:
        good: what people have judged; None where nobody has, or they do not agree.
        liked: what users have said by thumbs; None where nobody has, or as many one way as the other.
        correction: what it should have been: by who judged it, else by a user; the newest.
        signed: the correction is by somebody who judged it.
        by: who has judged it.
    """

    subject: str
    release_id: str
    question: str
    answer: str
    good: bool | None
    liked: bool | None
    correction: str | None
    signed: bool
    by: tuple[str, ...]


def judged(app: App, me: Principal, project: str) -> list[Judged]:
    """All answers of which something was said, the oldest first.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
    """
    app.gatekeeper.require(me, "data.read", f"project:{project}")
    declared = app.store.projects.get(project)
    ingest(project, app.store.events, app.store.tables, numeric=numeric_inputs(app.store, declared))
    said: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = linked_feedback(project, app.store.tables, names=_NAMES)
    for index, name in enumerate(rows.get("name", ())):
        if name in _NAMES:
            said[str(rows["subject"][index])].append({key: values[index] for key, values in rows.items()})
    if not said:
        return []
    table = predictions_table(project)
    answers = app.store.tables.query(
        f"""select subject, release_id, out_predict as answer,
                   cast({_question(declared)} as varchar) as question
            from p where subject in (select unnest(?::varchar[])) and out_predict is not null
            order by "at", subject""",
        {"p": (table, None)},
        [sorted(said)],
    )
    columns = (answers[name] for name in ("subject", "release_id", "question", "answer"))
    return [
        _judged(str(subject), str(release), str(question or ""), str(answer), said[str(subject)])
        for subject, release, question, answer in zip(*columns, strict=True)
    ]


def _question(project: Project) -> str:
    texts = [column.name for column in input_columns(project) if column.role == "text"]
    return quoted(f"in_{texts[0]}") if texts else "null"


def _judged(subject: str, release: str, question: str, answer: str, said: list[dict[str, Any]]) -> Judged:
    verdicts = {str(one["principal"]): str(one["word"]) for one in said if one["name"] == JUDGED}
    thumbs = sum(
        (1 if one["name"] == "thumbs_up" else -1)
        for one in said
        if one["name"].startswith("thumbs_") and one["number"] == 1
    )
    corrections = [one for one in said if one["name"] == CORRECTION and one["text"]]
    signed = [one for one in corrections if one["source"] == SOURCE]
    chosen = (signed or corrections)[-1:]
    agreed = set(verdicts.values())
    return Judged(
        subject=subject,
        release_id=release,
        question=question,
        answer=answer,
        good=agreed == {"good"} if len(agreed) == 1 else None,
        liked=None if thumbs == 0 else thumbs > 0,
        correction=str(chosen[0]["text"]) if chosen else None,
        signed=bool(signed),
        by=tuple(sorted(verdicts)),
    )
