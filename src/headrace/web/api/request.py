"""What every handler takes: the server's parts and who is asking."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import AfterValidator

from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.ids import NAME_PATTERN
from headrace.web.identity import principal_of
from headrace.web.parts import Parts


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _me(request: Request) -> Principal:
    return principal_of(request.scope)


def known_form(project: Annotated[str, Path(description="Name of the project.")]) -> str:
    """A project's name. What cannot be one is not looked up."""
    if not NAME_PATTERN.fullmatch(project):
        raise NotFound(f"There is no project {project[:80]!r}. List them at /api/v1/projects.")
    return project


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text that UTF-8 has a form for is expected") from error
    return text


Server = Annotated[Parts, Depends(_parts)]
Me = Annotated[Principal, Depends(_me)]
Name = Annotated[str, Depends(known_form)]
Text = Annotated[str, AfterValidator(_encodable)]
"""Text that can be stored: JSON may hold lone surrogates, which nothing else can."""
