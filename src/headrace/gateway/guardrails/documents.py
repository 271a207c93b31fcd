"""The texts inside a JSON document, taken out in order and put back in their places."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput

_LONG_NUMBER = 10**8
"""A number with nine digits or more may be a card's or a person's."""
_DEEPEST = 100
_CHARSET = re.compile(r"charset=[^;,]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Kept:
    """Stands in a document for what stays as it is, because it has been looked at or is no text."""

    value: Any


@dataclass(frozen=True, slots=True)
class Attached:
    """Stands in a document for a file of text: what is in it is looked at, and it is written anew only where
    that has changed.

    Attributes:
        value: as it came; ``head``: what stands before its base64.
        beside: what of it is looked at as it came: the head, or all of it where it may be no file.
        content: the text, or the JSON document that it is; ``other``: as it can be read in another way as
            well; empty where it cannot.
    """

    value: str
    head: str
    beside: str
    codec: str
    content: Any
    other: Any = ""

    def written(self, beside: str, content: Any, other: Any = "") -> str:
        """The same file with another content, which can then be read in one way."""
        if (beside, content, other) == (self.beside, self.content, self.other):
            return self.value
        if beside != self.beside and not self.head:
            return beside
        if self.other:
            beside = _CHARSET.sub("charset=utf-8", beside)
            content = other if content == self.content and other != self.other else content
        text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
        try:
            data = text.encode(self.codec)
        except UnicodeEncodeError:
            data = text.encode()
        return (beside if self.head else "") + base64.b64encode(data).decode()


def document_of(text: str) -> Any:
    """The JSON object or list that ``text`` is; the text itself where it is none, or nested too deep."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return text if _deeper(document, _DEEPEST) else document


def require_shallow(document: Any) -> None:
    """Raises InvalidInput where it is nested so deep that its texts cannot be looked at."""
    if _deeper(document, _DEEPEST):
        raise InvalidInput(f"A value is nested more than {_DEEPEST} levels deep. Send a flatter one.")


def texts_in(document: Any) -> list[str]:
    """Every string, name and long number of a document, in order."""
    return list(_texts(document))


def with_texts(document: Any, texts: list[str]) -> Any:
    """The document with other texts, in the order of :func:`texts_in`; a number that changed becomes text."""
    rest = iter(texts)
    return _rebuilt(document, lambda: next(rest))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Attached):
        yield value.beside
        yield from _texts(value.content)
        if value.other:
            yield from _texts(value.other)
    elif _long(value):
        yield _digits(value)


def _rebuilt(value: Any, following: Callable[[], str]) -> Any:
    if isinstance(value, dict):
        return {following(): _rebuilt(one, following) for one in value.values()}
    if isinstance(value, list):
        return [_rebuilt(one, following) for one in value]
    if isinstance(value, str):
        return following()
    if _long(value):
        text = following()
        return value if text == _digits(value) else text
    if isinstance(value, Attached):
        beside, content = following(), _rebuilt(value.content, following)
        return value.written(beside, content, value.other and _rebuilt(value.other, following))
    return value.value if isinstance(value, Kept) else value


def _long(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) >= _LONG_NUMBER
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LONG_NUMBER


def _digits(value: float) -> str:
    return str(int(value))


def _deeper(value: Any, levels: int) -> bool:
    if levels == 0:
        return True
    if isinstance(value, dict):
        return any(_deeper(one, levels - 1) for one in value.values())
    return isinstance(value, list) and any(_deeper(one, levels - 1) for one in value)
