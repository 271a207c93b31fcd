"""Answers whose truth is known, cut into windows: what every measure of quality is taken on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from headrace.core.canonical import digest_bytes
from headrace.monitoring.joining import Labelled
from headrace.monitoring.watch import Watch
from headrace.monitoring.windows import Window, as_utc, window_of


class Part(NamedTuple):
    """Labelled rows of one window; ``labels`` is another digest once another label is known."""

    window: Window
    rows: Labelled
    labels: str


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
        labels = digest_bytes(repr((rows.subject.tolist(), rows.truth.tolist())).encode())
        yield Part(Window(release_id=release_id, start=start, end=end, n_rows=len(rows)), rows, labels)
