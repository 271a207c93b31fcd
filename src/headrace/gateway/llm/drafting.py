"""Answers that wait for a person: kept as drafts, and given to their callers as what they are.

Whoever reads an answer as its API says must not take a draft for one. So where an answer stands, a notice
stands, with the ``finish_reason`` of something that was held back and without calls of tools; the draft is
beside it, in ``headrace``, and nowhere where people's lives or the business hang on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from headrace.core.ports import RecordStore
from headrace.core.project import Project
from headrace.gateway.llm.calls import Asked, Call, unsecret
from headrace.gateway.llm.chat import ChatRequest
from headrace.projects.llm import Oversight, llm_of, never_alone, starts_with_drafts
from headrace.store.drafts import Draft
from headrace.store.payloads import Payloads

HELD = "content_filter"
"""The reason for which a draft ends, as the API calls what is held back."""
_REMEMBERED = 4_096
"""Charters whose mode is remembered."""
_GRAVITY = ("nothing", "business", "lives")
_WORDS = {
    "waiting": "This answer is a draft and waits for a person. It is none before they approve it.",
    "rejected": "A person has rejected the answer, so there is none.",
    "expired": "Nobody decided on the answer for as long as it could be kept, so there is none.",
}


class _Mode(NamedTuple):
    """What a charter says of drafts."""

    charter: Project
    never_alone: bool
    starts: bool


class Drafting:
    """Keeps answers as drafts where the charter says so.

    Args:
        left: whether leave is given now to answer for a project without a person, to what somebody made.
        workspace_of: the workspace of a project.
    """

    def __init__(
        self,
        drafts: RecordStore[Draft],
        payloads: Payloads,
        *,
        left: Callable[[tuple[str, str]], bool],
        workspace_of: Callable[[str], str],
    ) -> None:
        self._drafts = drafts
        self._payloads = payloads
        self._left = left
        self._workspace_of = workspace_of
        self._modes: dict[int, _Mode] = {}

    def holds(self, call: Call) -> bool:
        """Whether the answer of ``call`` is a draft."""
        if not isinstance(call.asked, ChatRequest):
            return False
        modes = [self._mode(charter) for charter in _charters(call)]
        if any(mode.never_alone for mode in modes):
            return True
        return any(mode.starts for mode in modes) and not self._left((call.asked.model, call.loaded.author))

    def _mode(self, charter: Project) -> _Mode:
        """Read once for as long as the charter stands: to read one costs more than the rest of a call."""
        known = self._modes.get(id(charter))
        if known is None or known.charter is not charter:
            if len(self._modes) >= _REMEMBERED:
                self._modes.clear()
            known = _Mode(charter, never_alone(charter), starts_with_drafts(charter))
            self._modes[id(charter)] = known
        return known

    async def keep(self, call: Call, body: bytes) -> bytes:
        """Keep a whole answer as a draft; returns what its caller gets, once that is durable.

        Raises:
            Unavailable: it cannot be kept.
        """
        return await asyncio.to_thread(self._keep, call, body)

    def _keep(self, call: Call, body: bytes) -> bytes:
        project, asked = call.asked.model, call.asked
        rules = oversight_of(_charters(call))
        messages = asked.messages if isinstance(asked, ChatRequest) else []
        draft = Draft(
            id=call.id,
            workspace=self._workspace_of(project),
            subject=project,
            release_id=call.loaded.release_id,
            trace_id=call.id.replace("-", "") if call.parent is None else call.parent.trace_id,
            principal=call.principal,
            at=call.at,
            asked="",
            said="",
            user=None if asked.user is None else call.rules.hashed(asked.user),
            decides=rules.decides,
            reviewers=rules.reviewers,
            separate=rules.separate,
        )
        seal = self._payloads.seal
        asked_text = msgspec.json.encode(_unsecret(messages)).decode()
        kept = replace(
            draft,
            asked=seal(project, draft.place, asked_text),
            said=seal(project, draft.place, body.decode()),
        )
        self._drafts.add(kept)
        return shown(kept, msgspec.json.decode(body))


class DraftStream:
    """A draft as a stream: one piece, and the end."""

    is_draft = True

    def __init__(self, body: bytes, answer_id: str, release_id: str) -> None:
        self._body = body
        self.answer_id = answer_id
        self.release_id = release_id

    async def events(self) -> AsyncIterator[list[bytes]]:
        """The data of all events together, the last one ``[DONE]``."""
        completion = msgspec.json.decode(self._body)
        choices = [
            {
                "index": choice.get("index", 0),
                "delta": choice["message"],
                "finish_reason": choice.get("finish_reason"),
            }
            for choice in completion["choices"]
        ]
        about = {name: value for name, value in completion.items() if name not in ("usage", "choices")}
        chunk = {**about, "object": "chat.completion.chunk", "choices": choices}
        yield [msgspec.json.encode(chunk), b"[DONE]"]

    async def close(self, error: Exception | None = None) -> None:
        """Nothing is left to do: it is kept already."""


def whole(asked: Asked) -> Asked:
    """The same request, to be answered whole: no piece of a draft goes anywhere."""
    if not isinstance(asked, ChatRequest):
        return asked
    body = {name: value for name, value in asked.body.items() if name not in ("stream", "stream_options")}
    return replace(asked, stream=False, body=body)


def oversight_of(charters: Iterable[Project]) -> Oversight:
    """The gravest of what the released charter and a later declaration say; who reviews is as released.

    Args:
        charters: the released one first, if there is one.
    """
    specs = [llm_of(one).oversight for one in charters]
    return Oversight(
        decides=max((one.decides for one in specs), key=_GRAVITY.index),
        drafts=any(one.drafts for one in specs),
        reviewers=next((one.reviewers for one in specs if one.reviewers), ()),
        separate=any(one.separate for one in specs),
    )


def shown(draft: Draft, completion: dict[str, Any], *, by_person: str | None = None) -> bytes:
    """A draft as its caller gets it, now or later: the answer itself only once a person has decided so.

    Args:
        completion: the provider's answer.
        by_person: the text that a person has made of it.
    """
    is_final = draft.state in ("approved", "edited")
    about: dict[str, Any] = {"id": draft.id, "state": draft.state, "final": is_final}
    if draft.by is not None and draft.decided_at is not None:
        about |= {"by": draft.by, "decided_at": _written(draft.decided_at), "reason": draft.reason}
    if draft.state == "waiting" and draft.decides == "nothing":
        about["choices"] = completion["choices"]
    if draft.state == "edited":
        choices = [_choice(by_person or "", "stop")]
    else:
        choices = completion["choices"] if is_final else [_choice(_WORDS[draft.state], HELD)]
    said = {**completion, "id": draft.id, "choices": choices, "headrace": {"draft": about}}
    return msgspec.json.encode(said)


def _unsecret(said: Any) -> Any:
    """What a caller has sent, without the secrets in its texts."""
    match said:
        case str():
            return unsecret(said)
        case list():
            return [_unsecret(one) for one in said]
        case dict():
            return {name: _unsecret(one) for name, one in said.items()}
    return said


def _choice(text: str, finish: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}


def _charters(call: Call) -> list[Project]:
    released = call.loaded.charter
    return [call.rules.project] if released is None else [released, call.rules.project]


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
