"""Reads what a page's form sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

from starlette.requests import Request

from headrace.core.errors import InvalidInput

_MAX_FIELDS = 20
_MAX_COMMENT = 2000
_FORM = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form; of a field that occurs twice, the last.

    Raises:
        InvalidInput: the body is no such form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != _FORM:
        raise InvalidInput(f"The body is {kind[:80]!r}. Expected a form ({_FORM}).")
    try:
        fields = parse_qsl(
            (await request.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise InvalidInput(f"The form cannot be read ({error}). Use the page's own form.") from error
    return dict(fields)


def read_comment(form: Mapping[str, str]) -> str:
    """What was written as the comment; without the ends of lines that forms send.

    Raises:
        InvalidInput: it is too long.
    """
    comment = unix_lines(form.get("comment", "")).strip()
    if len(comment) > _MAX_COMMENT:
        raise InvalidInput(f"The comment has {len(comment)} characters. Expected at most {_MAX_COMMENT}.")
    return comment


def read_decision(form: Mapping[str, str]) -> Literal["approved", "rejected"]:
    """Which of the two buttons was pressed.

    Raises:
        InvalidInput: neither.
    """
    match form.get("decision", ""):
        case "approved" | "rejected" as decision:
            return decision
        case other:
            raise InvalidInput(f"A decision is 'approved' or 'rejected', got {other[:40]!r}.")


def unix_lines(text: str) -> str:
    """Forms send every end of line as two characters; a text that nobody changed must stay the same."""
    return text.replace("\r\n", "\n")
