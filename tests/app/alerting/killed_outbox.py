"""Sends what is due: ``killed_outbox.py HOME CHANNEL``. It kills itself (SIGKILL) when one was taken."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from headrace.app.alerting import outbox
from headrace.app.composition import App, open_app
from headrace.core.alerts import Notice
from headrace.testing import FakeClock
from tests.app.alarm import FOUND, mailing


def _kill(_app: App, _notice: Notice) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    outbox._taken = _kill  # type: ignore[assignment]  # the harness is the fault itself
    clock = FakeClock()
    clock.set(FOUND)
    with open_app(mailing(Path(sys.argv[1]), sys.argv[2]), clock) as app:
        outbox.deliver(app)
