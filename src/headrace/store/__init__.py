"""What is kept: metadata (SQL), tables (versioned), artefacts (content-addressed), events (append-only).

Names are loaded on first use: a process that trains or scores needs the files' forms, and no database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.store.opening import Store, open_store, write_ahead

__all__ = ["Store", "open_store", "write_ahead"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"headrace.store has no public name {name!r}. It has: {', '.join(__all__)}.")
    return getattr(import_module("headrace.store.opening"), name)
