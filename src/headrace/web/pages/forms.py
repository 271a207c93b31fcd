"""Reads what a page's form sends."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from headrace.core.errors import InvalidInput

_MAX_FIELDS = 20
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
