"""Have the inputs, or the predictions, of a window moved away from what the release was made from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from headrace.access.privacy.fields import unwatched_inputs
from headrace.checks.causes import Carried, Cause, ranked, undecided
from headrace.checks.columns import missing
from headrace.checks.courses import Course
from headrace.checks.drift import Profile, Shift, shifts
from headrace.checks.localising import codes_of, onset, place_of
from headrace.checks.renames import renamed
from headrace.core.ports import Columns
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.courses import History
from headrace.monitoring.segments import cuts
from headrace.monitoring.sides import (
    Reference,
    References,
    as_profiled,
    inputs_of,
    outputs_of,
    sides_of,
)
from headrace.monitoring.texts import Read, TextReader
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import Window, as_utc, window_rows

NAME = "shift"
"""Name of the measurements: standard deviations; ``feature`` is the input's, or ``prediction``."""
_MOST_CAUSES = 5


def watch_shifts(watch: Watch) -> Round:
    """Compare inputs and outputs of each new closed window with what the release was trained on, or with the
    answers of the declared days of reference.

    Of a text input its lengths, its script and the share of its words that are unknown are compared as
    numbers and categories are, and its words with a test of their own; of an image its size, brightness,
    contrast and sharpness.

    A finding needs evidence (p-value under the level left after correction over all features) and
    size (``monitors.shift`` standard deviations). A window with fewer than ``min_rows`` rows is counted, and
    is never an alarm, and one with days of reference in it is not judged by itself. Inputs that are not
    recorded as they come are not watched; the window's measurement names them.
    """
    found, references = Round([], []), References(watch)
    unwatched = unwatched_inputs(watch.project)
    for window, mark in watch.new_windows("window", {"unwatched": list(unwatched)}):
        if window.n_rows >= watch.fewest and not references.overlaps(window):
            _watch_window(watch, window, references.of(window.release_id), frozenset(unwatched), found)
        found.measurements.append(mark)
    return found


def _watch_window(
    watch: Watch, window: Window, reference: Reference, unwatched: frozenset[str], found: Round
) -> None:
    reader = TextReader(reference.texts)
    rows = window_rows(watch.project.name, watch.tables, window)
    raw, rows = rows, reader.read(rows)
    inputs = inputs_of(rows)
    sides = sides_of(watch, window, rows, reference, reader)
    level = watch.level(len(reference.inputs.features) + len(reader.counts) + 1)
    causes: dict[str, Any] = {}
    for kind, profile in reference.profiles().items():
        compared = shifts(profile, sides[kind])
        if kind == "data_drift":
            compared = [*(s for s in compared if s.feature not in unwatched), *reader.shifts()]
        shifted = [shift for shift in compared if _has_shifted(watch, shift, level)]
        reads = {shift.feature: _read(kind, profile, reader, shift) for shift in shifted}
        located = _located(watch, window, reads, raw) if shifted else {}
        courses = _courses(watch, window, kind, reads)
        found.measurements.extend(
            _measured(watch, window, kind, shift, courses.get(shift.feature, {})) for shift in compared
        )
        carried = ranked(shifted)
        if kind == "data_drift":
            carried = _with_new_names(watch, window, profile, inputs, carried)
            causes = _as_evidence(carried, courses)
        shared = {"level": level, "reference": reference.words} | causes
        if reference.features:
            shared["feature_sets"] = list(reference.features)
        found.findings.extend(
            _shifted(
                watch, window, kind, shift, carried, shared | located[shift.feature] | courses[shift.feature]
            )
            for shift in shifted
        )


def _has_shifted(watch: Watch, shift: Shift, level: float) -> bool:
    if shift.p_value is None or shift.size is None:
        return False
    return shift.p_value <= level and shift.size >= watch.project.monitors.shift


def _shifted(
    watch: Watch, window: Window, kind: str, shift: Shift, carried: Sequence[Carried], shared: dict[str, Any]
) -> Finding:
    cause = next(one.cause for one in carried if one.feature == shift.feature)
    evidence = {
        "cause": cause.name,
        "test": shift.test,
        "p_value": shift.p_value,
        "size": shift.size,
        "psi": shift.psi,
        "ks": shift.ks,
        "n_reference": shift.n_reference,
        "n_current": shift.n_current,
    }
    if shift.test == "words":
        evidence |= {"more": shift.detail["current"]["more"], "less": shift.detail["current"]["less"]}
    what = "the prediction" if kind == "prediction_drift" else f"input {shift.feature!r}"
    title, size = _followed(f"{what} {cause.words}", _where(shared)), shift.size or 0.0
    return watch.finding(window, kind, title, evidence | shared, size, feature=shift.feature)


def _followed(words: str, more: str) -> str:
    """``more`` behind what a shift looks like, which may be a question."""
    if not more:
        return words
    return f"{words} ({more})" if words.endswith("?") else f"{words}, {more}"


def _where(evidence: Mapping[str, Any]) -> str:
    """The segment, the start and the course, where they are known."""
    known = [f"mostly where {evidence['segment']}"] if evidence["segment"] else []
    if evidence["came"]:
        known.append(evidence["came"])
    elif evidence["began"] and not evidence["began_before"]:
        known.append(f"since {datetime.fromisoformat(evidence['began']):%Y-%m-%d %H:%M}")
    return ", ".join(known)


def _courses(
    watch: Watch, window: Window, kind: str, reads: Mapping[str, Read | None]
) -> dict[str, dict[str, Any]]:
    """How each feature's shift came: ``course`` is its name, ``came`` the same in words."""
    history = History.of(watch, window) if reads else None
    found = {}
    for name, read in reads.items():
        course, came = Course("undecided", "no word stands out"), ""
        if history is None:
            course = Course("undecided", "the window is too short to be told apart in time")
        elif read is not None:
            course = history.course(read.profile, read.column, read.values, own=kind == "prediction_drift")
            came = history.words(course)
        found[name] = {"course": course.name, "came": came, "compared": course.why}
    return found


def _read(kind: str, profile: Profile, reader: TextReader, shift: Shift) -> Read | None:
    """How a shifted feature is made of the record."""
    name = shift.feature
    if kind == "prediction_drift":
        return Read("out_predict", profile.features[name], _predicted)
    if reader.knows(name):
        return reader.find(name, shift.detail)
    return Read(
        f"in_{name}", profile.features[name], lambda values: as_profiled(profile, name, values, len(values))
    )


def _predicted(values: Any) -> Any:
    return outputs_of({"out_predict": values})["prediction"]


def _with_new_names(
    watch: Watch, window: Window, profile: Profile, columns: Columns, carried: Sequence[Carried]
) -> list[Carried]:
    """An input that is empty while a column has come that looks like it has another name now."""
    if not any(one.cause.name == "empty" for one in carried):
        return list(carried)
    new = {n: v for n, v in columns.items() if n not in profile.features and not missing(v).all()}
    length = window.end - window.start
    earlier = replace(window, start=window.start - length, end=window.start)
    rows = window_rows(watch.project.name, watch.tables, earlier)
    was = {name[3:]: values for name, values in rows.items() if name.startswith("in_")}
    new = {n: v for n, v in new.items() if n not in was or missing(was[n]).all()}
    found = []
    for one in carried:
        likely = None
        if one.cause.name == "empty":
            values = was.get(one.feature)
            before = {} if values is None else {one.feature: as_profiled(profile, one.feature, values, 0)}
            likely = renamed(one.feature, profile.kinds[one.feature], new, new, before)
        if likely is not None:
            words = f"{one.cause.words}: it comes as {likely.name!r}"
            one = one._replace(cause=Cause("renamed", words))  # noqa: PLW2901 - the same with its name
        found.append(one)
    return found


def _located(
    watch: Watch, window: Window, reads: Mapping[str, Read | None], rows: Columns
) -> dict[str, dict[str, Any]]:
    """Since when each feature has shifted, and in which segment against the window before, if in one."""
    length = window.end - window.start
    earlier = replace(window, start=window.start - length, end=window.start)
    was = window_rows(watch.project.name, watch.tables, earlier)
    by_column = cuts(watch.project, watch.baseline_of(window.release_id))
    segments = {
        cut.column: (cut.of(was[f"in_{cut.column}"]), cut.of(rows[f"in_{cut.column}"]))
        for cut in by_column
        if f"in_{cut.column}" in rows
    }
    found = {}
    for name, read in reads.items():
        began = place = None
        if read is not None:
            now, then = (_values(read, side) for side in (rows, was))
            began = onset(read.profile, now, rows["event_time"])
            others = {column: sides for column, sides in segments.items() if column != name}
            codes = codes_of(read.profile, then)[0], codes_of(read.profile, now)[0]
            place = place_of(codes, others, watch.fewest)
        found[name] = {
            "began": None if began is None else as_utc(began.began).isoformat(),
            "began_before": began is None or began.before,
            "segment": None if place is None else f"{place.column} is {place.segment!r}",
            "segment_share": None if place is None else place.share,
        }
    return found


def _values(read: Read, rows: Columns) -> Any:
    if read.column not in rows:
        return np.full(len(rows["event_time"]), None, dtype=object)
    return read.values(rows[read.column])


def _as_evidence(causes: Sequence[Carried], courses: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Which inputs carry how much of what has shifted, and whether that can be told."""
    unsure = undecided(causes)
    if not causes:
        unsure = "no input has moved: it is the model, or what it reads beside its inputs"
    listed = [
        {
            "feature": one.feature,
            "cause": one.cause.name,
            "share": one.share,
            "what": _followed(one.cause.words, courses[one.feature]["came"]),
            "course": courses[one.feature]["course"],
        }
        for one in causes[:_MOST_CAUSES]
    ]
    return {"undecided": unsure, "causes": listed}


def _measured(
    watch: Watch, window: Window, kind: str, shift: Shift, course: Mapping[str, Any]
) -> Measurement:
    detail = {
        "kind": kind,
        "test": shift.test,
        "p_value": shift.p_value,
        "psi": shift.psi,
        "ks": shift.ks,
        "js": shift.js,
        "kl": shift.kl,
        "statistics": shift.detail["current"],
        **course,
    }
    return watch.measurement(
        window, NAME, shift.size, key=f"{kind}:{shift.feature}", feature=shift.feature, detail=detail
    )
