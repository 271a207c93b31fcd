"""What each route of MLflow is, from the table beside this file. A route that it does not know is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["read", "write", "spans", "upload", "closed"]
_TABLE = Path(__file__).with_suffix(".txt")
_AJAX = re.compile("^/ajax-api/")
# What MLflow's own routing would not take as written, or might take as something else.
_ODD = re.compile(r"//|/\.{1,2}(/|$)|%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f\\]|[\ud800-\udfff]")


class Route(NamedTuple):
    """One route. ``pattern`` has ``{}`` for one segment and ``{*}`` for the rest."""

    kind: Kind
    method: str
    pattern: str


def find_route(method: str, path: str) -> Route | None:
    """The route that MLflow would answer ``path`` by; None when it is in no table, or oddly written.

    >>> find_route("POST", "/ajax-api/2.0/mlflow/runs/create").kind
    'write'
    """
    if _ODD.search(path):
        return None
    plain = _AJAX.sub("/api/", path)
    method = "GET" if method == "HEAD" else method
    exact, patterns = _known()
    found = exact.get((method, plain))
    if found is not None:
        return found
    return next((one for one, form in patterns if one.method == method and form.fullmatch(plain)), None)


def routes() -> Iterator[Route]:
    """The whole table."""
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, method, pattern = line.split()
            yield Route(kind, method, pattern)  # type: ignore[arg-type]


@cache
def _known() -> tuple[dict[tuple[str, str], Route], list[tuple[Route, re.Pattern[str]]]]:
    exact: dict[tuple[str, str], Route] = {}
    patterns: list[tuple[Route, re.Pattern[str]]] = []
    for route in routes():
        if "{" not in route.pattern:
            exact[route.method, route.pattern] = route
            continue
        text = re.escape(route.pattern).replace(r"\{\*\}", ".+").replace(r"\{\}", "[^/]+")
        patterns.append((route, re.compile(text)))
    return exact, patterns
