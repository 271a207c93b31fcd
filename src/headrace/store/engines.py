"""DuckDB in this process: one engine for all, whose tables are each caller's own, or one for a caller alone.

To make an engine takes as long as to read ten small files.
"""

from __future__ import annotations

import threading
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


def open_engine(n_threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection to the engine that this process has, for any thread; close it, or use it in a ``with``.

    What is temporary (``CREATE TEMP``, ``register``) is this connection's own; what is not is seen by all.
    Nobody can change its settings.

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
        return _shared[n_threads].cursor()
