"""Answers a batch and kills itself (SIGKILL): ``killed_batch.py HOME BATCH POINT N``; ends well without.

``POINT`` is the worst moment of its kind, at the ``N``-th time: answers are there and not ``kept``; half of
them are (``torn``); they are, and not ``counted``; the files are made, and it is not ``said``.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from headrace.app.composition import open_app
from headrace.app.llm.batch_run import BatchWork, Pace
from headrace.app.llm.batches import KIND
from headrace.app.workflows import launch
from headrace.store._sql.changing import SqlRecords
from headrace.store.line_files import Writer
from headrace.store.llm_batches import LlmBatch
from headrace.testing.factories import make_settings
from headrace.web.server import build_server
from tests.pace import until
from tests.web.memory_client import in_memory

HOME, BATCH, POINT, N = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
_count = itertools.count(1)
_write, _change = Writer.write, SqlRecords.change


def _die(point: str) -> bool:
    return point == POINT and next(_count) == N


def _write_or_die(self: Writer, data: bytes) -> None:
    if _die("kept"):
        os.kill(os.getpid(), signal.SIGKILL)
    if _die("torn"):
        _write(self, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    _write(self, data)
    if _die("counted"):
        os.kill(os.getpid(), signal.SIGKILL)


def _change_or_die(self: Any, record: Any) -> Any:
    if isinstance(record, LlmBatch) and record.state == "completed" and _die("said"):
        os.kill(os.getpid(), signal.SIGKILL)
    return _change(self, record)


if __name__ == "__main__":
    Writer.write = _write_or_die  # type: ignore[method-assign]  # the harness is the fault itself
    SqlRecords.change = _change_or_die  # type: ignore[method-assign]
    with open_app(make_settings(Path(HOME))) as app, launch(app, role="server") as work:
        server = build_server(app, work)
        ask = server._openai.ask
        server.parts.later.also(KIND, BatchWork(app, ask, pace=Pace(at_once=3)))
        with in_memory(server):
            until(lambda: app.store.llm_batches.get(BATCH).is_over)
