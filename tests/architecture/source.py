"""Reads the source tree for the rules beside this file."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "src/headrace"
_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file.

    Attributes:
        name: path from the repository's root, with forward slashes.
        code_lines: numbers of the lines that hold code: no blanks, comments or docstrings.
    """

    name: str
    tree: ast.Module
    code_lines: frozenset[int]

    @property
    def room(self) -> str:
        """The path inside the package, such as ``core/ids.py``; the whole name outside it."""
        return self.name.removeprefix(PACKAGE + "/")


def read(path: Path, root: Path = ROOT) -> Source:
    """Parse one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(path))
    return Source(name=path.relative_to(root).as_posix(), tree=tree, code_lines=_code_lines(text, tree))


def python_files(*folders: str, root: Path = ROOT) -> list[Source]:
    """Every Python file below these folders of the repository, in order of name."""
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    return [_read_once(path, root) for path in sorted(paths)]


_read_once = cache(read)


def expect_none(problems: list[str]) -> None:
    """Fail with all of them, one a line, and nothing else."""
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def span(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> range:
    """The line numbers of a definition, its decorators included."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)


def _code_lines(text: str, tree: ast.Module) -> frozenset[int]:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):  # a docstring, of whatever it stands behind
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(lines)
