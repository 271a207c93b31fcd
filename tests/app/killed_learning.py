"""Watches once: ``killed_learning.py FOLDER PROJECT WHEN``.

It kills itself (SIGKILL) when a batch is ``learnt`` and not kept yet, or ``kept`` and its step not recorded.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from headrace.app import learning
from headrace.app.operations import watch_now
from tests.app.small import site

if __name__ == "__main__":
    folder, project, when = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    keep = learning._keep

    def _killed(*arguments: Any) -> None:
        if when == "kept":
            keep(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    learning._keep = _killed  # type: ignore[assignment]  # the harness is the fault itself
    with site(folder) as opened:
        for build_id in opened.work.durable.unfinished("build"):
            opened.work.durable.result(build_id)
        build = watch_now(opened.app, opened.work, opened.app.me(), project)["build"]
        opened.work.durable.result(build)
