"""Import rules that import-linter has no contract for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch

from tests.architecture.source import Source, functions

LATE_IMPORTERS = ("plugins/*", "__init__.py", "cli/main.py")
_OUTSIDE_WORLD = frozenset("asyncio ftplib http multiprocessing socket sqlite3 ssl subprocess urllib".split())


def late_imports(source: Source) -> list[str]:
    """Imports of our own rooms inside functions: that is how cycles hide."""
    if any(fnmatch(source.room, home) for home in LATE_IMPORTERS):
        return []
    return sorted(
        f"{source.name}:{line} imports {name} inside a function. Import it at the top of the file; if "
        "that makes a cycle, meet in a record of the store or a port of headrace.core."
        for function in functions(source.nodes)
        for line, name in _imported(function)
        if name.partition(".")[0] == "headrace"
    )


def impure_core(source: Source) -> list[str]:
    """Imports in core of anything but the standard library and core itself."""
    problems = []
    for line, name in _imported(source.tree):
        top = name.partition(".")[0]
        if (name + ".").startswith("headrace.core."):
            continue
        if top not in sys.stdlib_module_names or top in _OUTSIDE_WORLD:
            problems.append(
                f"{source.name}:{line} imports {name}. Core is types and ports: standard library only, "
                "no I/O. Put the code into the room that needs it."
            )
    return problems


def _imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                yield node.lineno, item.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
