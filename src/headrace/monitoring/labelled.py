"""Answers whose truth is known, cut into windows: what every measure of quality is taken on.

Labels come one after another, and a window is measured anew with each. If each time were a test as well,
chance would have many tries at one window. So it is judged once it is closed, and again only each time twice
as many of its rows have labels; the last look, at half of them or more, has half of the level, the one before
a quarter, and so on: all together have no more than one level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np

from headrace.core.canonical import digest_bytes
from headrace.monitoring.joining import NO_ROWS, Labelled, labelled_rows, labels_by_window
from headrace.monitoring.watch import Watch
from headrace.monitoring.windows import Window, as_utc, window_of

_MOST_LOOKS = 6


class Part(NamedTuple):
    """Labelled rows of one window.

    Attributes:
        labels: another digest once another label is known, or the window is closed.
        n_answered: rows of the window, labelled or not; None while it is not closed.
        look: how often its labelled rows can still double, at most; the same for all labels of one look.
    """

    window: Window
    rows: Labelled
    labels: str
    n_answered: int | None
    look: int | None


class Looks:
    """Which windows may be judged now, and at which level.

    Args:
        name: of the measurements that a monitor keeps of each window that it has looked at; their detail has
            ``look``.

    Attributes:
        seen: ids of these measurements.
    """

    def __init__(self, watch: Watch, name: str) -> None:
        kept = watch.evidence.measurements(watch.project.name, name=name)
        self.seen = {one.id for one in kept}
        self._taken: set[tuple[str | None, datetime | None, int]] = {
            (one.release_id, one.window and one.window[0], one.detail["look"])
            for one in kept
            if one.detail.get("look") is not None
        }

    def level(self, part: Part, level: float) -> float | None:
        """That share of ``level`` that this look has; None where there is nothing to judge yet, or again."""
        look = part.look
        if look is None or (part.window.release_id, part.window.start, look) in self._taken:
            return None
        return float(level * 0.5 ** (look + 1))


class Changed(NamedTuple):
    """Labelled rows of the windows of which a monitor does not know all labels yet.

    Attributes:
        as_text: whether all labels of the project are words or numbers, whichever more are.
    """

    rows: Labelled
    as_text: bool


def changed_rows(watch: Watch) -> Changed:
    """What a monitor has to look at: a window again once another label of it is known, or it closes."""
    length_s, origin = watch.project.monitors.window_s, watch.origin
    said = labels_by_window(watch.project.name, watch.tables, window_s=length_s, origin=origin)
    as_text = sum(one.n_texts for one in said.values()) > sum(one.n_numbers for one in said.values())
    present = {}
    for place, one in said.items():
        start = window_of(one.first, length_s, origin)[0]
        present[place] = f"{as_text}:{one.labels}:{watch.answered.get((place.release_id, start))}"
    changed = watch.changed(present)
    if not changed.chosen:
        return Changed(NO_ROWS, as_text)
    rows = labelled_rows(watch.project.name, watch.tables, places=changed, as_text=as_text)
    return Changed(rows, as_text)


def by_release(labelled: Labelled) -> Iterator[tuple[str, Labelled]]:
    """The rows of each release, in the order in which labels came for them."""
    for release_id in dict.fromkeys(map(str, labelled.release_id)):
        yield release_id, labelled.of(labelled.release_id == release_id)


def labelled_windows(watch: Watch, release_id: str, mine: Labelled) -> Iterator[Part]:
    """Labelled rows by window, in an order that does not depend on when they or their labels came."""
    length_s, origin = watch.project.monitors.window_s, watch.origin
    mine = mine.of(np.lexsort((mine.subject.astype(str), mine.event_time)))
    seconds = mine.event_time.astype("datetime64[s]").astype(np.int64)
    slots = (seconds - int(origin.timestamp())) // length_s
    for slot in np.unique(slots):
        rows = mine.of(slots == slot)
        start, end = window_of(as_utc(rows.event_time[0]), length_s, origin)
        n_answered = watch.answered.get((release_id, start))
        labels = digest_bytes(repr((rows.subject.tolist(), rows.truth.tolist())).encode())
        yield Part(
            window=Window(release_id=release_id, start=start, end=end, n_rows=len(rows)),
            rows=rows,
            labels=labels if n_answered is None else f"{labels}:closed",
            n_answered=n_answered,
            look=None if n_answered is None else _look(n_answered, len(rows)),
        )


def _look(n_answered: int, n_labelled: int) -> int:
    return min(int(math.log2(max(n_answered / n_labelled, 1.0))), _MOST_LOOKS)
