"""Whoever waits at the other end of a connection: what is done for them alone ends when they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

CALLER = "headrace.caller"
"""Under which a request's ``state`` has its caller, where the server knows when they go."""


class Gone(Exception):
    """The client closed the connection; nobody is left to answer."""


class Caller:
    """Of one connection, on which one request after the other is answered.

    ``with`` it, the running task is cancelled when they go; what it does then is its own matter. It ends with
    what ends a request whose client has gone, also where they have gone before.

    Args:
        listen: lets the connection be read on: of one that is not, nobody sees the end.

    >>> caller = Caller(lambda: None)
    >>> caller.go()
    >>> with caller:
    ...     print("answers")
    Traceback (most recent call last):
    headrace.serving.caller.Gone
    """

    def __init__(self, listen: Callable[[], object]) -> None:
        self._listen = listen
        self._has_gone = False
        self._answering: asyncio.Task[Any] | None = None

    def go(self) -> None:
        """They have gone."""
        self._has_gone = True
        if self._answering is not None:
            self._answering.cancel()

    def __enter__(self) -> None:
        if self._has_gone:
            raise Gone
        self._answering = asyncio.current_task()
        self._listen()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._answering = self._answering, None
        if self._has_gone and task is not None and isinstance(error, asyncio.CancelledError):
            task.uncancel()
            raise Gone from None


def caller_of(scope: Mapping[str, Any]) -> Caller | None:
    """Who asks, where the server knows when they go."""
    found: Caller | None = scope.get("state", {}).get(CALLER)
    return found
