"""A dashboard for Grafana, rules and scrape settings for Prometheus, all about our own metrics."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from headrace.core.errors import Conflict

FILES = ("grafana-dashboard.json", "prometheus-rules.yaml", "prometheus-scrape.yaml")


def shipped(name: str) -> str:
    """The text of one of :data:`FILES`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def write_dashboards(folder: Path) -> list[Path]:
    """Write all of them into ``folder``, which is made where it is missing.

    Raises:
        Conflict: one of them is there already and differs; nothing is written then.
    """
    for name in FILES:
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != shipped(name):
            raise Conflict(
                f"{path} is there already, and is another one. Move it away, or name another folder."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text(shipped(name), encoding="utf-8")
    return [folder / name for name in FILES]
