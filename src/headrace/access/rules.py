"""The rules of a policy text: where each stands, what it is called, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from headrace.core.errors import InvalidInput

LARGEST = 100_000
"""Of a policy text, in characters."""
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|;', re.DOTALL)
_BEFORE = re.compile(r"(?:\s|//[^\n]*)*")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One ``permit`` or ``forbid``.

    Attributes:
        name: its ``@id``; ``policy<n>`` for one that has none.
        line: where it begins, counted from 1.
    """

    name: str
    line: int
    text: str


def rules_of(text: str) -> list[Rule]:
    """All rules of a text, in order.

    >>> [rule.name for rule in rules_of('@id("all") permit (principal, action, resource);')]
    ['all']

    Raises:
        InvalidInput: the text does not parse, or holds a template; the message names the line.
    """
    return [rule for rule, _ in _read(text)]


def check_names(text: str, *, actions: Iterable[str], roles: Iterable[str], taken: Iterable[str]) -> None:
    """What Cedar does not mind and a reviewer would: rules without a name of their own, and misspelt names.

    Args:
        taken: names that other rules beside this text have.

    Raises:
        InvalidInput: the message names the rule, its line and what is known.
    """
    if len(text) > LARGEST:
        raise InvalidInput(f"The policy has {len(text):,} characters. At most {LARGEST:,} are taken.")
    seen = set(taken)
    known = {"Action": set(actions), "Role": set(roles)}
    for rule, parsed in _read(text):
        if not _id(parsed):
            raise InvalidInput(
                f'Line {rule.line}: the rule has no name. Begin it with @id("some-name"), so that a decision '
                "can say which rule made it."
            )
        if rule.name in seen:
            raise InvalidInput(
                f"Line {rule.line}: another rule is called {rule.name!r} already. Give it a name of its own."
            )
        seen.add(rule.name)
        for kind, name in _entities(parsed):
            if kind in known and name not in known[kind]:
                raise InvalidInput(
                    f"Line {rule.line}: the rule {rule.name!r} names the {kind.lower()} {name!r}, which "
                    f"does not exist. Known: {', '.join(sorted(known[kind]))}."
                )


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each statement; a semicolon ends one, unless it is quoted or in a comment."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token.group() == ";":
            before = _BEFORE.match(text, start)
            begin = start if before is None else before.end()
            yield text.count("\n", 0, begin) + 1, text[begin : token.end()]
            start = token.end()


def _rest(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of what follows the last statement: one that nothing ends."""
    ends = [token.end() for token in _TOKEN.finditer(text) if token.group() == ";"]
    before = _BEFORE.match(text, ends[-1] if ends else 0)
    begin = len(text) if before is None else before.end()
    if begin < len(text):
        yield text.count("\n", 0, begin) + 1, text[begin:]


def _read(text: str) -> list[tuple[Rule, dict[str, Any]]]:
    """Each rule, and the same in Cedar's JSON form."""
    import cedarpy

    pieces = list(_pieces(text))
    try:
        found = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise InvalidInput(_unparsed(error, text, pieces)) from error
    if found["templates"]:
        raise InvalidInput("The policy holds a template (?principal or ?resource). Write the rule out.")
    rules: dict[str, dict[str, Any]] = found["staticPolicies"]
    numbered = [rules[f"policy{number}"] for number in range(len(rules))]
    return [
        (Rule(name=_id(parsed) or f"policy{number}", line=line, text=piece), parsed)
        for number, (parsed, (line, piece)) in enumerate(zip(numbered, pieces, strict=True))
    ]


def _id(parsed: dict[str, Any]) -> str:
    name: str = parsed.get("annotations", {}).get("id") or ""
    return name


def _unparsed(error: ValueError, text: str, pieces: list[tuple[int, str]]) -> str:
    import cedarpy

    where = ""
    for line, piece in [*pieces, *_rest(text)]:
        try:
            cedarpy.policies_to_json_str(piece)
        except ValueError as first:
            where, error = f" in the rule that begins on line {line}", first
            break
    return (
        f"The policy does not parse{where}: {error}. Expected Cedar text such as "
        'permit (principal in Role::"viewer", action == Action::"project.read", resource);'
    )


def _entities(parsed: Any) -> Iterator[tuple[str, str]]:
    """Type and id of every entity that a rule names."""
    if isinstance(parsed, dict):
        if isinstance(parsed.get("type"), str) and isinstance(parsed.get("id"), str):
            yield parsed["type"], parsed["id"]
        for value in parsed.values():
            yield from _entities(value)
    elif isinstance(parsed, list):
        for value in parsed:
            yield from _entities(value)
