"""Calls and libraries that have one home, and what to use elsewhere. This table is the only list."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
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
    Ban(
        ("msgspec.convert",),
        ("store/documents.py",),
        "Use headrace.store.documents.convert: two threads that are the first to read a type end the process",
    ),
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
    by_name = _by_name(bans)
    found: dict[tuple[int, Ban], str] = {}
    for line, name in _names(source):
        for ban in _covering(name, by_name):
            if not any(fnmatch(source.room, home) for home in ban.homes):
                found[line, ban] = max(name, found.get((line, ban), ""))  # the longest of one chain
    return [
        f"{source.name}:{line} uses {name}. {ban.instead}."
        + (f" Its home is {', '.join(ban.homes)}." if ban.homes else "")
        for (line, ban), name in sorted(found.items(), key=lambda item: item[0][0])
    ]


def late_types(source: Source) -> list[str]:
    """Decodings to a type of ours that is named only there: threads that are the first to read it end the
    process (msgspec 0.22)."""
    return [
        f"{source.name}:{call.lineno} decodes to a type it may be the first to read. Make a Decoder of it "
        "when the module is loaded: two threads that are the first to read a type end the process."
        for call in source.nodes
        if isinstance(call, ast.Call) and _chain(call.func)[-1:] == ["decode"]
        for given in call.keywords
        if given.arg == "type" and not _named(given.value) <= _PLAIN
    ]


_PLAIN = {"Any", "None", *(name for name, value in vars(builtins).items() if isinstance(value, type))}


def _named(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
    }


@cache
def _by_name(bans: tuple[Ban, ...]) -> dict[str, list[Ban]]:
    found: dict[str, list[Ban]] = {}
    for ban in bans:
        for name in ban.names:
            found.setdefault(name, []).append(ban)
    return found


def _covering(name: str, by_name: dict[str, list[Ban]]) -> Iterator[Ban]:
    """Bans of the name, and of what it is inside."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        yield from by_name.get(".".join(parts[:end]), ())


def _names(source: Source) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported or referred to."""
    aliases: dict[str, str] = {}
    own, imported = _own_names(source), set()
    for node in source.nodes:
        if isinstance(node, ast.Import):
            for item in node.names:
                top = item.name.partition(".")[0]
                aliases[item.asname or top] = item.name if item.asname else top
                imported.add(item.asname or top)
                yield node.lineno, item.name
        elif isinstance(node, ast.ImportFrom):
            for item in node.names:
                imported.add(item.asname or item.name.partition(".")[0])
                if node.module:
                    aliases[item.asname or item.name] = f"{node.module}.{item.name}"
                    yield node.lineno, f"{node.module}.{item.name}"
    own -= imported
    for node in source.nodes:
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            parts = _chain(node)
            if parts and parts[0] not in own:
                yield node.lineno, ".".join([aliases.get(parts[0], parts[0]), *parts[1:]])


def _own_names(source: Source) -> set[str]:
    """Names that the file binds itself: an argument called ``input`` is not the built-in."""
    own: set[str] = set()
    for node in source.nodes:
        if isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                own.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
    return own


def _chain(node: ast.expr) -> list[str]:
    """``a.b.c`` as its parts; nothing for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []
