"""What a server needs to know before it starts: whether this home is served already."""

from __future__ import annotations

from headrace.app.composition import App
from headrace.core.errors import Conflict
from headrace.store.disk import hold

SERVER = "server"
LOCK = "server.lock"


def reserve_home(app: App, address: str) -> None:
    """Refuse a second server on the same laptop home; replicas need Postgres.

    Raises:
        Conflict: another live server holds this home.
    """
    if not app.settings.database_url.startswith("sqlite"):
        return
    found = app.store.executors.find(SERVER)
    # The second one is for two that start at the same moment, before either is known.
    if found is not None or not hold(app.settings.home / LOCK):
        where = f" at {found[1]}" if found is not None else ""
        raise Conflict(
            f"This home is served already{where}. Stop that server, use another HEADRACE_HOME "
            f"for {address}, or move the metadata to Postgres (HEADRACE_DATABASE_URL) to run replicas."
        )
