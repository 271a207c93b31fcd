"""What is kept: metadata (SQL), tables (versioned), artefacts (content-addressed), events (append-only)."""

from headrace.store.opening import Store, open_store, write_ahead

__all__ = ["Store", "open_store", "write_ahead"]
