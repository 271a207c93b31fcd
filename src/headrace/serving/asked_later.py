"""``?mode=async`` of every protocol: a request is accepted now, and its answer is fetched later.

An adapter hands over what was asked in our own terms, and says in its protocol's form that an answer waits.
Where it waits is beside the route that was asked; once it is there, that address answers it as the request
itself would have been answered, and with the error's own status if there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, quote

import msgspec

from headrace.core import errors
from headrace.core.errors import InternalError, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.serving.handler import Handler
from headrace.serving.inputs import Matrix, named
from headrace.serving.later import Accepted, Question
from headrace.serving.wire import Answer, HeaderList, Refused, Scope, only, status_of

_MODES = {"sync": False, "async": True}
_MAX_KEY = 256
_RETRY: HeaderList = ((b"retry-after", b"1"),)
_encode = msgspec.json.Encoder().encode
Written = Callable[[Accepted], bytes]
"""A request that is not answered yet, in a protocol's own form."""


class Submissions(Protocol):
    """Where requests are handed in that are answered later."""

    def accept(
        self, me: Principal, project: str, question: Question, key: str | None, *, callback: str | None
    ) -> Accepted:
        """Keep a request; it is stored when this returns. Under ``key`` the same one is accepted once."""

    def find(self, me: Principal, job_id: str) -> Accepted:
        """How it stands. Raises NotFound for what is not there, or not for ``me``."""


class Submitting(NamedTuple):
    """A request to be answered later, and how its protocol speaks of it.

    Attributes:
        callback: the address that is told of its end.
        below: the path below which its answer is fetched.
        written: says that it waits.
    """

    question: Question
    values: dict[str, list[Any]] | Matrix
    callback: str | None
    below: str
    written: Written


def is_later(scope: Scope) -> bool:
    """Whether a request is to be answered later: by ``mode=async`` in its query.

    Raises:
        InvalidInput: ``mode`` is something else, or there are several.

    >>> is_later({"query_string": b"mode=async"}), is_later({})
    (True, False)
    """
    query = scope.get("query_string", b"")
    if not query:
        return False
    modes = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("mode", ["sync"])
    if len(modes) > 1 or modes[0] not in _MODES:
        raise InvalidInput(f"The query has mode={','.join(modes)[:40]!r}. Expected sync or async, once.")
    return _MODES[modes[0]]


def refuse_callback(callback: str | None) -> None:
    """Whoever waits for the answer has it told.

    Raises:
        InvalidInput: there is a ``callback``.
    """
    if callback is not None:
        raise InvalidInput("'callback' is told of a request with mode=async only. Add ?mode=async.")


def refuse_explanation(*, explain: bool) -> None:
    """An explanation is given with an answer only.

    Raises:
        InvalidInput: there is to be one.
    """
    if explain:
        raise InvalidInput("mode=async gives no explanation. Ask for it by the answer's id afterwards.")


async def submit(
    submissions: Submissions | None,
    handler: Handler,
    me: Principal,
    project: str,
    asked: Submitting,
    scope: Scope,
) -> Answer:
    """Accept a request: 202, where its answer will be, and the protocol's own form of waiting.

    Raises:
        InvalidInput: nothing is answered later here, or the request cannot be read.
    """
    if submissions is None:
        raise InvalidInput("mode=async is not served here. Leave it out.")
    values = asked.values
    if isinstance(values, Matrix):
        # Now, and not when it is answered: a place means what metadata says it means at this moment.
        await handler.require(me, "predict", project)
        rows = named(values, (await handler.describe(project))[0].inputs)
        values = {name: list(column) for name, column in rows.items()}
    question = msgspec.structs.replace(asked.question, columns=values)
    key = _key(scope)
    accepted = await asyncio.to_thread(
        submissions.accept, me, project, question, key, callback=asked.callback
    )
    location = f"{asked.below}/{quote(accepted.id)}".encode()
    return Answer(202, asked.written(accepted), headers=((b"location", location), *_RETRY))


async def fetch(
    submissions: Submissions | None, scope: Scope, me: Principal, project: str, job_id: str, written: Written
) -> Answer:
    """The answer of a request that was accepted: 200 as it would have been given, or 202 while it waits.

    Raises:
        NotFound: there is none of this project for ``me``.
        Refused: it could not be answered, with the status that the request itself would have got.
    """
    if submissions is None:
        raise NotFound(f"There is nothing at {scope['path'][:200]!r}: mode=async is not served here.")
    only(scope, "GET")
    accepted = await asyncio.to_thread(submissions.find, me, job_id)
    if accepted.project != project:
        raise NotFound(f"There is no prediction {job_id[:80]!r} of {project!r} here.")
    if accepted.state == "pending":
        return Answer(202, written(accepted), headers=_RETRY)
    if accepted.answer is not None:
        return Answer(200, _encode(accepted.answer))
    # It was tried until it was given up: whoever asks for it once more is not to come again.
    status = status_of(getattr(errors, accepted.kind or "", InternalError))
    raise Refused(min(status, 500), accepted.error or "It was given up.")


def _key(scope: Scope) -> str | None:
    """The caller's own name for a request, from its ``Idempotency-Key``."""
    keys: list[str] = [
        value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"
    ]
    if not keys:
        return None
    if len(keys) > 1 or not 1 <= len(keys[0]) <= _MAX_KEY:
        raise InvalidInput(
            f"Idempotency-Key is given {len(keys)} times, or is empty or longer than "
            f"{_MAX_KEY} characters. Expected one of 1 to {_MAX_KEY}."
        )
    return keys[0]
