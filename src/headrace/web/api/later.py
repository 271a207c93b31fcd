"""Requests that are accepted now and answered later: ``mode=async``, and where the answer is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.concurrency import run_in_threadpool

from headrace.app.answers.later import accept, find_job
from headrace.core.identity import Principal
from headrace.serving.asked_later import refuse_explanation
from headrace.serving.later import Accepted, Question, told
from headrace.web.api.request import Me, Server
from headrace.web.parts import Parts

router = APIRouter(tags=["predictions"])


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a request wants to be answered."""

    explain: bool
    mode: Literal["sync", "async"]
    idempotency_key: str | None


def _way(
    explain: Annotated[
        bool, Query(description="Say what each input contributed to each answer; at most 100 rows then.")
    ] = False,
    mode: Annotated[
        Literal["sync", "async"], Query(description="async: accept the request now, and answer it later.")
    ] = "sync",
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=256, description="With mode=async: under it, accepted only once."),
    ] = None,
) -> Way:
    return Way(explain=explain, mode=mode, idempotency_key=idempotency_key)


How = Annotated[Way, Depends(_way)]


@router.get("/predictions/{prediction}")
def later(prediction: str, server: Server, me: Me) -> Accepted:
    """A request that was accepted with mode=async, with its answer once there is one."""
    return told(find_job(server.app, me, prediction), server.app.payloads)


async def accept_later(
    server: Parts,
    me: Principal,
    project: str,
    asked: Question,
    how: Way,
    *,
    callback: str | None,
    response: Response,
) -> Accepted:
    """Accept a request; it is stored when this returns.

    Raises:
        InvalidInput: it wants an explanation, which is given with an answer only.
    """
    refuse_explanation(explain=how.explain)
    job = await run_in_threadpool(
        accept, server.app, me, project, asked, how.idempotency_key, callback=callback
    )
    response.status_code = 202
    response.headers["location"] = f"/api/v1/predictions/{job.id}"
    return told(job, server.app.payloads)
