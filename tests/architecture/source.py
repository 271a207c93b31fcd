"""Reads the source tree for the rules beside this file."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "src/headrace"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file.

    Attributes:
        name: path from the repository's root, with forward slashes.
    """

    name: str
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of the tree, as ``ast.walk`` goes through it."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def code_lines(self) -> frozenset[int]:
        """Numbers of the lines that hold code: no blanks, comments or docstrings."""
        said = ((number, line.strip()) for number, line in enumerate(self.text.splitlines(), 1))
        lines = {number for number, line in said if line and not line.startswith("#")}
        docstrings: set[int] = set()
        for node in self.nodes:
            match node:
                case ast.Expr(value=ast.Constant(value=str())):  # of whatever it stands behind
                    docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
                case ast.Constant() | ast.JoinedStr():  # a blank line of a text is part of it
                    lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return frozenset(lines - docstrings)

    @property
    def room(self) -> str:
        """The path inside the package, such as ``core/ids.py``; the whole name outside it."""
        return self.name.removeprefix(PACKAGE + "/")


def read(path: Path, root: Path = ROOT) -> Source:
    """Parse one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(path))
    return Source(name=path.relative_to(root).as_posix(), text=text, tree=tree)


def python_files(*folders: str, root: Path = ROOT) -> list[Source]:
    """Every Python file below these folders of the repository, in order of name."""
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    gc.disable()  # trees are no garbage: looking for some as they grow takes four fifths of the time
    try:
        return [_read_once(path, root) for path in sorted(paths)]
    finally:
        gc.enable()


_read_once = cache(read)
forget = _read_once.cache_clear
"""Let go of what was read: half a gigabyte."""


def expect_none(problems: list[str]) -> None:
    """Fail with all of them, one a line, and nothing else."""
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def functions(nodes: Iterable[ast.AST]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of these."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def span(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> range:
    """The line numbers of a definition, its decorators included."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)
