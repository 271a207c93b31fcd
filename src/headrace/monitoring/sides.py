"""Both sides of a comparison: what a window brought, and what it is compared with.

That is what the release was trained on, unless the project names days whose answers are the reference: where
training rows are older, or chosen otherwise, than what production brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import unwatched_inputs
from headrace.checks.distributions import Rows, Side
from headrace.checks.images import ImageProfile
from headrace.checks.profiles import NumericProfile, Profile
from headrace.checks.sketches import Sketches
from headrace.checks.texts import TextProfile
from headrace.core.ports import Columns
from headrace.monitoring.baseline import output_columns
from headrace.monitoring.ingest import as_numbers
from headrace.monitoring.texts import TextReader, with_measures
from headrace.monitoring.watch import Watch
from headrace.monitoring.windows import MOST_ROWS, Window, rows_by_release, watermark, window_parts


class Reference(NamedTuple):
    """What windows of a release are compared with; ``words`` say in a finding what that is.

    ``features`` are the versions of feature sets whose baseline the feature store has served.
    """

    inputs: Profile
    outputs: Profile
    words: str
    features: tuple[str, ...] = ()
    texts: Mapping[str, TextProfile | ImageProfile] = MappingProxyType({})

    def profiles(self) -> dict[str, Profile]:
        """By kind of drift."""
        return {"data_drift": self.inputs, "prediction_drift": self.outputs}


class References:
    """What each release of a project is compared with. Days of reference are read once for each release.

    Example::

        references = References(watch)
        reference = references.of(window.release_id)
        reader = TextReader(reference.texts)
        sides = sides_of(watch, window, reader.read(rows), reference, reader)
        shifts(reference.inputs, sides["data_drift"])
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._known: dict[str, Reference] = {}

    def of(self, release_id: str) -> Reference:
        """The declared days' answers once those days are over, as long as they are enough; or training."""
        if release_id not in self._known:
            self._known[release_id] = self._made(release_id)
        return self._known[release_id]

    def overlaps(self, window: Window) -> bool:
        """Whether days of reference that count are part of the window: it cannot be judged by itself."""
        span = self._span
        return span is not None and self._n_rows >= self._watch.fewest and _meet(window, span)

    @cached_property
    def _span(self) -> tuple[datetime, datetime] | None:
        """From the declared days' beginning to their end, UTC; None without any, and until they are over."""
        days = self._watch.project.monitors.reference
        if days is None:
            return None
        start = datetime.combine(days.first_day, time(), UTC)
        end = datetime.combine(days.last_day, time(), UTC) + timedelta(days=1)
        newest = watermark(self._watch.project.name, self._watch.tables)
        return (start, end) if newest is not None and newest >= end else None

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        span = self._span
        return {} if span is None else rows_by_release(self._watch.project.name, self._watch.tables, span)

    @property
    def _n_rows(self) -> int:
        return sum(self._rows.values())

    def _made(self, release_id: str) -> Reference:
        baseline, days = self._watch.baseline_of(release_id), self._watch.project.monitors.reference
        hidden = unwatched_inputs(self._watch.project)
        texts = {name: text for name, text in baseline.texts.items() if name not in hidden}
        known = with_measures(baseline.inputs, texts)
        if self._span is None or self._n_rows < self._watch.fewest:
            why = ""
            if days is not None:
                so_far = "are not over" if self._span is None else f"have {self._n_rows} answers"
                why = f": the days of reference {so_far}"
            served = tuple(one.ref for one in baseline.features)
            return Reference(known, baseline.outputs, f"training{why}", served, texts)
        inputs, outputs, reader = Sketches(known.kinds), Sketches(baseline.outputs.kinds), TextReader(texts)
        start, end = self._span
        for answered_by, n_rows in self._rows.items():
            window = Window(release_id=answered_by, start=start, end=end, n_rows=n_rows)
            for part in window_parts(self._watch.project.name, self._watch.tables, window):
                n = len(part["event_time"])
                inputs.update(all_profiled(known, inputs_of(reader.read(part)), n), n)
                if answered_by == release_id:
                    outputs.update(all_profiled(baseline.outputs, outputs_of(part), n), n)
        # Other releases have had the same inputs, and answer in their own way.
        own = self._rows.get(release_id, 0) >= self._watch.fewest
        found = Profile.of(inputs)
        return Reference(
            found,
            Profile.of(outputs) if own else baseline.outputs,
            f"the {self._n_rows:,} answers of {start:%Y-%m-%d} to {end - timedelta(days=1):%Y-%m-%d}",
            texts=reader.as_references(found),
        )


def sides_of(
    watch: Watch,
    window: Window,
    rows: Columns,
    reference: Reference,
    reader: TextReader,
    *,
    most: int = MOST_ROWS,
) -> dict[str, Side]:
    """The window's side of the comparison with ``reference``, by kind of drift.

    Its rows as they are; of a window of more than ``most``, of which ``rows`` are a sample, the sketches of
    all of them, so that memory grows with the columns and not with traffic.

    Args:
        rows: as ``reader`` has read them; of a larger window it reads all others anew.
    """
    profiles = reference.profiles()
    if window.n_rows <= most:
        return {
            kind: Rows(columns=columns, kinds=profiles[kind].kinds)
            for kind, columns in _columns(profiles, rows).items()
        }
    sketches = {kind: Sketches(profile.kinds) for kind, profile in profiles.items()}
    reader.restart()
    for part in map(reader.read, window_parts(watch.project.name, watch.tables, window, most=most)):
        for kind, columns in _columns(profiles, part).items():
            sketches[kind].update(columns, len(part["event_time"]))
    return dict(sketches)


def inputs_of(rows: Columns) -> Columns:
    """Inputs by their own names."""
    return {name[3:]: values for name, values in rows.items() if name.startswith("in_")}


def outputs_of(rows: Columns) -> Columns:
    """The prediction, as it is profiled."""
    return output_columns(rows["out_predict"])[0]


def all_profiled(profile: Profile, columns: Columns, n_rows: int) -> Columns:
    """The columns of a profile, as it has them. One that no row has is one whose values are all missing."""
    return {name: as_profiled(profile, name, columns.get(name), n_rows) for name in profile.features}


def as_profiled(profile: Profile, name: str, values: Any, n_rows: int) -> Any:
    """One column: numbers for a number's profile, also where the table keeps them as objects."""
    if values is None:
        return np.full(n_rows, None, dtype=object)
    is_number = isinstance(profile.features[name], NumericProfile)
    return as_numbers(values) if is_number and values.dtype.kind == "O" else values


def _columns(profiles: Mapping[str, Profile], rows: Columns) -> dict[str, Columns]:
    n_rows = len(rows["event_time"])
    of = {"data_drift": inputs_of, "prediction_drift": outputs_of}
    return {kind: all_profiled(profile, of[kind](rows), n_rows) for kind, profile in profiles.items()}


def _meet(window: Window, span: Iterable[datetime]) -> bool:
    start, end = span
    return window.start < end and start < window.end
