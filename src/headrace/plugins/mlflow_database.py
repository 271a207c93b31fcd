"""The SQLite database of the team's MLflow: whose turn it is, and how it is made."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SQLITE = "sqlite:///"


def artifact_folder(url: str) -> Path:
    """Where the server over the database ``url`` keeps artefacts."""
    return _file(url).parent / "mlflow"


@contextmanager
def database_turn(url: str) -> Iterator[None]:
    """Hold the database ``url`` alone among all processes of this machine; its folder is made."""
    path = _file(url)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_database(url: str) -> None:
    """Make the tables of ``url`` where there is no such file; to be called in one's turn.

    MLflow makes a hundred tables one by one, and a database that it was killed over is refused for ever by
    "table already exists". They are made in a file beside, which takes the name when it is whole.
    """
    path = _file(url)
    if path.exists() and path.stat().st_size:
        return
    making = path.with_name(f"{path.name}.making")
    for left in path.parent.glob(f"{making.name}*"):
        left.unlink()
    from mlflow.db import upgrade

    upgrade.main([f"{SQLITE}{making}"], standalone_mode=False)
    making.replace(path)


def _file(url: str) -> Path:
    return Path(url.removeprefix(SQLITE))
