"""DuckDB in this process: one engine for all, whose tables are each caller's own, or one for a caller alone.

To make an engine takes as long as to read ten small files.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_SETTINGS = (
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "python_enable_replacements = false",
    "TimeZone = 'UTC'",
)
"""Nothing is fetched from the network, no Python variable is taken for a table, and a query gives the same
times on every machine."""
_shared: dict[int | None, duckdb.DuckDBPyConnection] = {}
_lock = threading.Lock()


def own_engine(n_threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """An engine that nobody else has, for who changes its settings; close it, or use it in a ``with``."""
    import duckdb

    engine = duckdb.connect(":memory:", config={} if n_threads is None else {"threads": n_threads})
    for setting in _SETTINGS:
        engine.execute(f"SET GLOBAL {setting}")
    return engine


@contextmanager
def open_engine(n_threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the engine that this process has, for any thread; closed at the end.

    What is temporary (``CREATE TEMP``, ``register``) is this connection's own; what is not is seen by all.
    Nobody can change its settings. After a fault inside it, it answers nobody any more: whoever meets that
    lets it go, and the next one gets a new engine.

    Args:
        n_threads: of the engine, where the order or the bytes of what it writes depend on it.

    Example::

        with open_engine() as engine:
            engine.execute("SELECT 42").fetchone()  # (42,)
    """
    with _lock:
        if n_threads not in _shared:
            engine = _shared[n_threads] = own_engine(n_threads)
            engine.execute("SET GLOBAL lock_configuration = true")
        engine = _shared[n_threads]
    try:
        with engine.cursor() as connection:
            yield connection
    except Exception as error:
        if _has_broken(error):
            with _lock:
                if _shared.get(n_threads) is engine:
                    del _shared[n_threads]
        raise


def _has_broken(error: BaseException | None) -> bool:
    """Whether a fault of the engine itself is behind an error, however it was put since."""
    import duckdb

    while error is not None and not isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
        error = error.__cause__ or error.__context__
    return error is not None
