"""Looks once at a failing release: ``killed_fallback.py FOLDER PROJECT RELEASE N``.

It kills itself (SIGKILL) just before, or just after, the end of the N-th transaction."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.app.composition import open_app
from headrace.app.rollouts.falling_back import FallingBack
from headrace.core.ids import new_id
from headrace.store import Store
from headrace.store.records import encode_failure
from headrace.testing import MemoryTracker, make_failure, make_settings

if __name__ == "__main__":
    folder, project, release, target = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    count = itertools.count(1)
    whole = Store.transaction

    def _kill_at() -> None:
        if next(count) == target:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def _transaction(self: Store) -> Iterator[Any]:
        with whole(self) as found:
            yield found
            _kill_at()
        _kill_at()

    Store.transaction = _transaction  # type: ignore[method-assign]  # the harness is the fault itself
    with open_app(make_settings(folder / "home", user="ada")) as opened:
        app = replace(opened, tracker=MemoryTracker())
        now = app.clock.now()
        failures = [
            make_failure(id=new_id(now), project=project, release_id=release, at=now) for _ in range(20)
        ]
        app.store.events.append(f"{project}/failures", [encode_failure(one) for one in failures])
        FallingBack(app).look(project)
