"""Runs ``headrace`` and kills itself (SIGKILL) at a chosen point: ``killed.py N ARGUMENTS...``.

The N-th step's effect happens, its record does not: the worst moment there is.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from headrace.app.durable import Durable
from headrace.cli.main import main

_count = itertools.count(1)
_target = int(sys.argv[1])
_recorded = Durable.step


def _step(self: Durable, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    if name == "judge" and sys.argv[2] == "run":
        # The build is over by then, and another run is another build; deliveries are killed on their own.
        return _recorded(self, name, function, *arguments, **options)

    def effect_then_kill(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        if next(_count) == _target:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return _recorded(self, name, effect_then_kill, *arguments, **options)


Durable.step = _step  # type: ignore[method-assign]  # the harness is the fault itself
main(sys.argv[2:])
