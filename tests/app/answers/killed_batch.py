"""Scores a table and kills itself (SIGKILL): ``killed_batch.py N WHEN HOME SOURCE OUT PROCESSES``.

The N-th part's answers are on record (``after``), or are about to be (``before``); its file has no name yet.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from headrace.app.answers.batch import Request, score_table
from headrace.app.composition import open_app
from headrace.store.events import SegmentLog
from headrace.testing.factories import make_settings
from tests.web.making import AUTHOR

_count = itertools.count(1)
_append = SegmentLog.append


def _append_then_kill(self: SegmentLog, stream: str, records: Sequence[bytes]) -> None:
    last = next(_count) == int(sys.argv[1])
    if not last or sys.argv[2] == "after":
        _append(self, stream, records)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    SegmentLog.append = _append_then_kill  # type: ignore[method-assign]  # the harness is the fault itself
    home, source, out, processes = sys.argv[3:]
    with open_app(make_settings(Path(home), user=AUTHOR)) as app:
        asked = Request(project="cars", source=source, out=Path(out), processes=int(processes))
        score_table(app, app.me(), asked)
