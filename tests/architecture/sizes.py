"""How big a file, a function and a class may get, and what a file may not be called."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

from tests.architecture.source import Source, functions, span

FILE_LINES = 400
FUNCTION_LINES = 60
PUBLIC_METHODS = 15
CORE_LINES = 1500
VAGUE_NAMES = frozenset(
    "common helper helpers legacy manager managers misc miscellaneous util utils utilities".split()
)


def file_size(source: Source) -> list[str]:
    """Files hold one subject."""
    n_lines = len(source.code_lines)
    if n_lines <= FILE_LINES:
        return []
    return [f"{source.name} has {n_lines} code lines. Split it by subject: at most {FILE_LINES}."]


def function_size(source: Source) -> list[str]:
    """Functions are read at one glance."""
    problems = []
    for node in functions(source.nodes):
        n_lines = len(source.code_lines.intersection(span(node)))
        if n_lines > FUNCTION_LINES:
            problems.append(
                f"{source.name}:{node.lineno} {node.name}() has {n_lines} code lines. "
                f"Name its parts and take them out: at most {FUNCTION_LINES}."
            )
    return problems


def class_size(source: Source) -> list[str]:
    """Classes promise little."""
    problems = []
    for node in source.nodes:
        if not isinstance(node, ast.ClassDef):
            continue
        public = [
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_")
        ]
        if len(public) > PUBLIC_METHODS:
            problems.append(
                f"{source.name}:{node.lineno} class {node.name} has {len(public)} public methods. "
                f"Split it by who calls them: at most {PUBLIC_METHODS}."
            )
    return problems


def file_name(name: str) -> list[str]:
    """A newcomer guesses the file from what it is about."""
    problems = []
    for part in PurePosixPath(name).parts:
        stem = part.removesuffix(".py")
        words = set(stem.lower().strip("_").split("_"))
        if words & VAGUE_NAMES or stem.startswith("new_") or stem.endswith("_impl"):
            problems.append(f"{name}: {part!r} says nothing. Name the file after what it is about.")
    return problems
