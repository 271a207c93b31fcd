"""The queries of the shipped dashboard and rules, as Prometheus gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import promql_parser
import yaml

from headrace.app.dashboards import shipped

_VARIABLES = {"$__rate_interval": "1m", "$project": "cars", "$job": "headrace"}


class Selected(NamedTuple):
    """A metric and the labels that a query expects of it."""

    name: str
    labels: frozenset[str]


def dashboard_queries() -> list[str]:
    """Grafana's variables are replaced."""
    found = []
    for panel in json.loads(shipped("grafana-dashboard.json"))["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            found.append(query)
    return found


def alert_queries() -> list[str]:
    """Of every rule."""
    groups = yaml.safe_load(shipped("prometheus-rules.yaml"))["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def selected(query: str) -> Iterator[Selected]:
    """Every metric that is read, with the labels by which it is chosen or grouped."""
    yield from _within(promql_parser.parse(query), frozenset())


def _within(node: object, grouped: frozenset[str]) -> Iterator[Selected]:
    match node:
        case promql_parser.VectorSelector():
            matched = {matcher.name for matcher in node.matchers.matchers}
            yield Selected(node.name or "", frozenset(matched | grouped))
        case promql_parser.MatrixSelector():
            yield from _within(node.vector_selector, grouped)
        case promql_parser.AggregateExpr():
            labels = frozenset(node.modifier.labels) if node.modifier is not None else frozenset()
            yield from _within(node.expr, labels)
        case promql_parser.Call():
            for argument in node.args:
                yield from _within(argument, grouped)
        case promql_parser.BinaryExpr():
            yield from _within(node.lhs, grouped)
            yield from _within(node.rhs, grouped)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _within(node.expr, grouped)
        case promql_parser.NumberLiteral():
            return
        case _:
            raise AssertionError(f"no rule for {type(node).__name__}")
