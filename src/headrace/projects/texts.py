"""Typed YAML: a text becomes a frozen record, and every mistake is named with line and column."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from headrace.checks.yaml_texts import parse_yaml
from headrace.core.errors import InvalidInput
from headrace.projects.rules import BrokenRule, Place

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_Record = TypeVar("_Record")


def read_typed(
    text: str,
    kind: type[_Record],
    name: str,
    *,
    broken: Callable[[_Record], Iterable[BrokenRule]],
    expected: str,
    next_step: str,
) -> _Record:
    """The ``kind`` that ``text`` says.

    Args:
        name: what the text is called in an error.
        broken: what is wrong with it although its types are right.
        expected: what an empty text should have held.

    Raises:
        InvalidInput: it does not parse, a key is unknown, twice or missing, or a value cannot be used; the
            message lists each with line and column.
    """
    try:
        raw, node = parse_yaml(text)
        document = json.dumps(raw, default=str)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{name} is not YAML: {_unparsed(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        # A value that YAML has and JSON has not: a loop of anchors, a date that is none, a key of parts.
        raise InvalidInput(f"{name} cannot be used: {error}. Write plain keys and values.") from error
    if not isinstance(raw, dict) or node is None:
        raise InvalidInput(f"{name} is empty. Expected {expected}")
    problems, record = _validated(raw, document, node, kind)
    if record is not None:
        problems += [f"{_place(node, rule.loc)}: {rule.text}" for rule in broken(record)]
    if problems or record is None:
        listed = "\n  ".join(dict.fromkeys(problems))
        raise InvalidInput(f"{name} cannot be used:\n  {listed}\n{next_step}")
    return record


def _unparsed(error: yaml.YAMLError) -> str:
    """Where and why, without the parser's own drawing of the place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        context = f" {error.context}" if error.context else ""
        return f"{_where(error.problem_mark)}: {error.problem}{context}"
    return " ".join(str(error).split())


def _validated(
    raw: dict[str, Any], document: str, node: yaml.Node, kind: type[_Record]
) -> tuple[list[str], _Record | None]:
    found, record = _typed(raw, document, kind, ())
    return [f"{_place(node, one.loc)}: {one.text}" for one in found] + [
        f"{_where(mark)}: {text}" for mark, text in _repeated_keys(node, ())
    ], record


def typed_part(
    raw: dict[str, Any], kind: type[_Record], *loc: str
) -> tuple[list[BrokenRule], _Record | None]:
    """A part of a text, at ``loc`` in it, as a ``kind``; and each mistake with its place in the whole.

    The record is None when a value cannot be used; an unknown key alone is only listed.
    """
    return _typed(raw, json.dumps(raw, default=str), kind, loc)


def _typed(
    raw: dict[str, Any], document: str, kind: type[_Record], inside: Place
) -> tuple[list[BrokenRule], _Record | None]:
    from pydantic import ValidationError

    problems = []
    for loc, known in _unknown_keys(raw, kind, inside):
        text = f"unknown key {'.'.join(map(str, loc))!r} (known here: {', '.join(known)})"
        problems.append(BrokenRule(loc=loc, text=text))
    try:
        return problems, _adapter(kind).validate_json(document, strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        for item in error.errors():
            loc = (*inside, *item["loc"])
            text = f"{'.'.join(map(str, loc))}: {_lower(item['msg'])}{_got(item)}"
            problems.append(BrokenRule(loc=loc, text=text))
    return problems, None


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """Made once: to make one takes longer than to read a text with it."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _repeated_keys(node: yaml.Node, loc: tuple[str | int, ...]) -> Iterator[tuple[yaml.Mark, str]]:
    """Keys that a mapping has twice: YAML would silently take the last."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated_keys(item, (*loc, index))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield key.start_mark, f"{'.'.join(map(str, (*loc, name)))}: the key is here twice; keep one"
            seen.add(name)
            yield from _repeated_keys(value, (*loc, name))


def _unknown_keys(
    raw: object, kind: Any, loc: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], list[str]]]:
    """Keys that no field is named after: a typo must not silently fall back to a default."""
    kind = _unwrapped(kind)
    if isinstance(raw, list):
        for index, item in enumerate(raw):
            arguments = typing.get_args(kind)
            if arguments:
                yield from _unknown_keys(item, arguments[0], (*loc, index))
    elif isinstance(raw, dict) and typing.get_origin(kind) is dict:
        for key, item in raw.items():
            yield from _unknown_keys(item, typing.get_args(kind)[1], (*loc, key))
    elif isinstance(raw, dict) and dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        for key, item in raw.items():
            if key not in hints:
                yield (*loc, key), sorted(hints)
            else:
                yield from _unknown_keys(item, hints[key], (*loc, key))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _unwrapped(kind: Any) -> Any:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(item for item in typing.get_args(kind) if item is not type(None))
    return kind


def _place(node: yaml.Node, loc: tuple[str | int, ...]) -> str:
    """``line 3, column 5`` of the deepest part of ``loc`` that the text has."""
    mark = node.start_mark
    for part in loc:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    mark, child = key.start_mark, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            mark = child.start_mark
        if child is None:
            break
        node = child
    return _where(mark)


def _where(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _got(item: Any) -> str:
    value = item.get("input")
    return "" if item["type"] == "missing" or isinstance(value, dict | list) else f", got {value!r}"
