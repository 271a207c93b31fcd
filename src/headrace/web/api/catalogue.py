"""The catalogue: every data source that you may read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from headrace.app.data import catalogue as sources
from headrace.web.api.request import Me, Name, Server, Text

router = APIRouter(prefix="/catalogue", tags=["catalogue"])


@router.get("")
def list_sources(
    server: Server,
    me: Me,
    search: Annotated[Text, Query(max_length=200, description="Words that all have to occur.")] = "",
) -> list[sources.Source]:
    """Data sources that you may read, by name."""
    return sources.catalogue(server.app, me, search)


@router.get("/{project}")
def show_source(project: Name, server: Server, me: Me) -> sources.Source:
    """One data source: what it is, whom to ask, where it is kept, what each column means."""
    return sources.source(server.app, me, project)


@router.get("/{project}/rows")
def read_rows(
    project: Name,
    server: Server,
    me: Me,
    limit: Annotated[int, Query(ge=1, le=sources.MAX_ROWS, description="How many rows.")] = 20,
) -> sources.Rows:
    """The first rows; that you read them is in the audit log."""
    return sources.read_rows(server.app, me, project, limit)
