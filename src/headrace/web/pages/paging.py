"""Lists that are longer than a page: which rows it shows, and where those before and after them are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

from headrace.core.errors import InvalidInput

_Row = TypeVar("_Row")


class Owned(Protocol):
    """What belongs to a project."""

    @property
    def subject(self) -> str:
        """The project."""


_Owned = TypeVar("_Owned", bound=Owned)


@dataclass(frozen=True, kw_only=True)
class Page(Generic[_Row]):
    """A part of a list.

    Attributes:
        rows: on this page; ``n`` are on all.
        before, after: addresses of the pages beside it; empty where there is none.
    """

    rows: Sequence[_Row]
    n: int
    number: int
    n_pages: int
    before: str
    after: str


def page_number(request: Request, name: str = "page") -> int:
    """The page that the address asks for; the first unless it does.

    Raises:
        InvalidInput: it is no number from 1 on.
    """
    asked = request.query_params.get(name, "1")
    if not asked.isdecimal() or not asked.isascii() or len(asked) > 6 or int(asked) < 1:
        raise InvalidInput(f"There is no page {asked[:20]!r}. Pages have numbers from 1 on.")
    return int(asked)


def page_of(request: Request, found: Sequence[_Row], name: str, size: int = 20) -> Page[_Row]:
    """The rows of a list that the address asks for, by the parameter ``name``; the last page is after all.

    Raises:
        InvalidInput: it asks for what is no page.
    """
    return part_of(request, len(found), lambda start, most: found[start : start + most], name, size)


def part_of(
    request: Request, n: int, read: Callable[[int, int], Sequence[_Row]], name: str, size: int = 20
) -> Page[_Row]:
    """As :func:`page_of`, of a list that is read by the part.

    Args:
        n: how long it is.
        read: its rows from one on, that many at most.
    """
    n_pages = max(-(-n // size), 1)
    number = min(page_number(request, name), n_pages)

    def address(to: int) -> str:
        given = dict(request.query_params) | {name: str(to)}
        return f"{request.url.path}?{urlencode(given)}#{name}" if 1 <= to <= n_pages else ""

    return Page(
        rows=read((number - 1) * size, size),
        n=n,
        number=number,
        n_pages=n_pages,
        before=address(number - 1),
        after=address(number + 1),
    )


def part_of_those(request: Request, found: Iterator[_Row], n: int, name: str) -> Page[_Row]:
    """As :func:`part_of`, of those that the reader may see of ``n``; who may see none learns of none."""
    first = list(islice(found, 1))

    def rows(start: int, most: int) -> list[_Row]:
        return list(islice(chain(first, found), start, start + most))

    return part_of(request, n if first else 0, rows, name)


def named_one(
    request: Request,
    field: str,
    project: str,
    find: Callable[[str], _Owned | None],
    shown: Callable[[_Owned], bool],
) -> _Owned | None:
    """The one of a project that the address names, by the parameter ``field``, where it can be shown.

    Args:
        find: by its id.
        shown: whether its texts are kept, and the reader may see them.
    """
    asked = request.query_params.get(field, "")
    found = find(asked) if asked else None
    return found if found is not None and found.subject == project and shown(found) else None
