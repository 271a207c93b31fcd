"""Accepts requests, then answers them and kills itself (SIGKILL): ``killed_later.py HOME N_REQUESTS N_KEPT``.

What was accepted is told on standard output, as a server tells it. After ``N_KEPT`` answers were kept, the
next one is on record and not kept: the worst moment there is.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import threading
from pathlib import Path

from headrace.app.answers.later import accept, later_of
from headrace.app.answers.serving import serving_of
from headrace.app.composition import open_app
from headrace.core.jobs import Job
from headrace.serving.later import Question
from headrace.store._sql.jobs import SqlJobs
from headrace.testing.factories import make_settings
from tests.web.making import AUTHOR

_count = itertools.count(1)
_one_at_a_time = threading.Lock()
_change = SqlJobs.change


def _change_or_kill(self: SqlJobs, job: Job) -> Job:
    with _one_at_a_time:
        if job.state == "done" and next(_count) > int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return _change(self, job)


if __name__ == "__main__":
    SqlJobs.change = _change_or_kill  # type: ignore[method-assign]  # the harness is the fault itself
    with open_app(make_settings(Path(sys.argv[1]), user=AUTHOR)) as app:
        for number in range(int(sys.argv[2])):
            asked = Question(columns={"mileage": [float(number)], "model": ["a3"]})
            sys.stdout.write(f"{accept(app, app.me(), 'cars', asked).id}\n")
            sys.stdout.flush()
        serving = serving_of(app)
        serving.routes.refresh()
        later = later_of(app, serving.handler)
        for _ in range(100):  # a busy machine may need more than one round before its end comes
            asyncio.run(later.round())
