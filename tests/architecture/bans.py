"""Calls and libraries that have one home, and what to use elsewhere. This table is the only list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import NamedTuple

from tests.architecture.source import Source


class Ban(NamedTuple):
    """One wrong way and the right one.

    ``homes`` are patterns of paths inside the package where it is allowed. A name covers what is
    inside it: ``pickle`` also stands for ``pickle.loads``.
    """

    names: tuple[str, ...]
    homes: tuple[str, ...]
    instead: str


_CLOCK = "Take a Clock (headrace.core.ports) as an argument; it has now(), monotonic_s() and sleep()"

BANS = (
    Ban(
        (
            "datetime.datetime.now",
            "datetime.datetime.utcnow",
            "datetime.datetime.today",
            "datetime.date.today",
            "time.localtime",
            "time.gmtime",
            "time.monotonic",
            "time.monotonic_ns",
            "time.perf_counter",
            "time.perf_counter_ns",
            "time.sleep",
            "time.time",
            "time.time_ns",
        ),
        ("core/clock.py",),
        _CLOCK,
    ),
    Ban(
        ("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7"),
        ("core/ids.py",),
        "Use headrace.core.ids.new_id(clock.now()): ids sort by time",
    ),
    Ban(
        ("os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv"),
        ("core/settings.py", "plugins/*"),  # a plug-in may have to set what its library reads
        "Take Settings (headrace.core.settings) as an argument; the environment is read once, at the door",
    ),
    Ban(
        ("print", "input", "breakpoint"),
        ("cli/*",),
        "Return the value, or log it; only a command talks to the terminal",
    ),
    Ban(("requests", "urllib.request"), (), "Use httpx"),
    Ban(
        ("sqlite3",),
        ("store/_sql/*",),
        "Use a port of headrace.core.ports; the store speaks SQL by SQLAlchemy",
    ),
    Ban(
        ("pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib.dump", "joblib.load"),
        ("checks/loading.py",),
        "Reading one runs its author's code. Use msgspec for records, ONNX for models, and load_pickle of "
        "headrace.checks.loading for what others bring",
    ),
    Ban(("hash",), (), "It is salted per process. Use hashlib or headrace.core.canonical.digest_of"),
    Ban(("sqlalchemy", "alembic", "deltalake"), ("store/*",), "Use a port of headrace.core.ports"),
    Ban(("cedarpy", "jwt", "argon2"), ("access/*",), "Use headrace.access"),
    Ban(("mlflow",), ("plugins/*",), "Use the Tracker port of headrace.core.ports"),
    Ban(("dbos",), ("app/*",), "Workflows are composed in headrace.app; elsewhere write plain steps"),
    Ban(("typer", "click", "rich"), ("cli/*",), "Only commands know the terminal"),
    Ban(("fastapi", "starlette"), ("web/*",), "Take and return our own types; headrace.web adapts"),
    Ban(
        ("uvicorn",),
        ("web/*", "cli/up.py", "plugins/mlflow_server.py"),
        "Only the server's own command starts one, and MLflow's child process",
    ),
)


def banned(source: Source, bans: tuple[Ban, ...] = BANS) -> list[str]:
    """Every use of a banned name outside its home, with the replacement."""
    found: dict[tuple[int, Ban], str] = {}
    for line, name in _names(source.tree):
        for ban in bans:
            if _covered(name, ban.names) and not any(fnmatch(source.room, home) for home in ban.homes):
                found[line, ban] = max(name, found.get((line, ban), ""))  # the longest of one chain
    return [
        f"{source.name}:{line} uses {name}. {ban.instead}."
        + (f" Its home is {', '.join(ban.homes)}." if ban.homes else "")
        for (line, ban), name in sorted(found.items(), key=lambda item: item[0][0])
    ]


def _covered(name: str, names: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(entry + ".") for entry in names)


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported or referred to."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                top = item.name.partition(".")[0]
                aliases[item.asname or top] = item.name if item.asname else top
                yield node.lineno, item.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                aliases[item.asname or item.name] = f"{node.module}.{item.name}"
                yield node.lineno, f"{node.module}.{item.name}"
    own = _own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            parts = _chain(node)
            if parts and parts[0] not in own:
                yield node.lineno, ".".join([aliases.get(parts[0], parts[0]), *parts[1:]])


def _own_names(tree: ast.Module) -> set[str]:
    """Names that the file binds itself: an argument called ``input`` is not the built-in."""
    own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
    imported = {
        item.asname or item.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for item in node.names
    }
    return own - imported


def _chain(node: ast.expr) -> list[str]:
    """``a.b.c`` as its parts; nothing for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []
