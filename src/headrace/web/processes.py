"""Several processes of one home that answer on one port.

They share the listening socket: a connection that a process has not accepted when it dies is accepted by
another. uvicorn's supervisor replaces what died or no longer answers.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from headrace.core.errors import Conflict
from headrace.store.disk import locked
from headrace.web.http_protocol import ScoringProtocol
from headrace.web.server import Server, create_app

_COUNTS = "headrace-counts-"
_PARENT_S = 1.0
_SILENT_S = 30
"""A process that does not tell for so long that it lives is replaced."""


class LoadedProtocol(ScoringProtocol):
    """One connection to the server that this process has loaded."""

    def __init__(self, *, config: Any, **of_uvicorn: Any) -> None:
        # uvicorn wraps what it loads in what reads a proxy's headers.
        loaded = getattr(config.loaded_app, "app", config.loaded_app)
        super().__init__(loaded.parts.scoring, config=config, **of_uvicorn)


def answer_together(
    n_processes: int, *, host: str, port: int, address: str, grpc_address: str | None, **options: Any
) -> None:
    """Answer until told to end, in ``n_processes`` processes.

    Args:
        address: where they are reached, told to other processes of this home.
        grpc_address: where each of them listens for gRPC (``HOST:PORT``); nowhere when not given.
        options: of ``uvicorn.Config``.

    Example::

        answer_together(2, host="127.0.0.1", port=8000, address="http://127.0.0.1:8000", grpc_address=None)
    """
    with counts_folder() as counts:
        config = uvicorn.Config(
            partial(
                _one_of_several,
                os.getpid(),
                address=address,
                grpc_address=grpc_address,
                counts=counts,
            ),
            factory=True,
            host=host,
            port=port,
            workers=n_processes,
            http=LoadedProtocol,
            timeout_worker_healthcheck=_SILENT_S,
            **options,
        )
        socket = config.bind_socket()
        # Whoever comes before the first of them is ready waits, and is not refused.
        socket.listen(config.backlog)
        Multiprocess(config, [socket]).run()


@contextmanager
def counts_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder for the time being. What processes that were killed have left behind is removed first.

    Args:
        parent: where it is made; the place for temporary files when not given.

    Example::

        with counts_folder() as counts:
            (counts / "1").write_text("headrace_processes 1")
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{_COUNTS}*"):
        with suppress(OSError, Conflict), locked(left, wait=False):  # unless it is another's, or in use
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_COUNTS, dir=parent) as made, locked(Path(made)):
        yield Path(made)


def _one_of_several(parent: int, *, address: str, grpc_address: str | None, counts: Path) -> Server:
    threading.Thread(target=_end_with, args=(parent,), name="headrace-parent", daemon=True).start()
    return create_app(address=address, grpc_address=grpc_address, counts=counts)


def _end_with(parent: int) -> None:
    """End in order once the process that began this one is gone: nobody would replace or end it."""
    while os.getppid() == parent:
        threading.Event().wait(_PARENT_S)
    os.kill(os.getpid(), signal.SIGTERM)
