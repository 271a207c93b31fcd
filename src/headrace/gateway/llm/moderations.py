"""``/v1/moderations`` as far as the gateway reads it: texts are judged by the models that a release names.

The verdict goes to the caller as it came; which categories were found is on record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.attachments import is_data
from headrace.gateway.llm.chat import MAX_USER, Answered, Filled, FilledInput, Usage
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.guarding import Guarded
from headrace.gateway.llm.loaded import Loaded, require_named
from headrace.gateway.llm.reading import UNREADABLE, unreadable
from headrace.gateway.prompts import Prompt

MAX_INPUTS = 2_048
_OTHER_DATA = re.compile(r"\s*data:(?!image/)", re.IGNORECASE)


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request, as the OpenAI API has it."""

    model: str | None = None
    input: Any
    user: str | None = None


class _Result(msgspec.Struct):
    flagged: bool
    categories: dict[str, bool | None]


class _Said(msgspec.Struct):
    results: list[_Result]
    model: str = ""


_body = msgspec.json.Decoder(_Body)
_said = msgspec.json.Decoder(_Said)


@dataclass(frozen=True, kw_only=True)
class ModerationsRequest:
    """One request.

    Attributes:
        model: the project that is asked.
        input: a text, several, or the parts of one message, which may have pictures.
        user: whose request it is, as the caller says.
        n_bytes: how long it is.
    """

    path: ClassVar[str] = "/moderations"
    operation: ClassVar[str] = "moderations"
    records: ClassVar[str] = "moderations"

    model: str
    input: str | list[Any]
    user: str | None = None
    n_bytes: int = 0

    @property
    def question(self) -> str:
        """The texts, one to a line: what is recorded as asked."""
        return "\n".join(_texts(self.input))

    def targets(self, loaded: Loaded) -> tuple[Target, ...]:
        """Whom the release lets judge texts, in order.

        Raises:
            InvalidInput: nobody.
        """
        such_as = "openai/omni-moderation-latest"
        require_named(loaded.moderators, self.model, does="moderates", key="moderations", such_as=such_as)
        return loaded.moderators

    def filled(self, prompt: Prompt, guarded: Guarded) -> Filled:  # noqa: ARG002  nothing is written around
        """What a provider is told, once guards have looked at it.

        Raises:
            Blocked: it may not leave.
        """
        looked = iter(guarded.documents([*_texts(self.input), *_addresses(self.input)]))
        if isinstance(self.input, str):
            return FilledInput(fields={"input": next(looked)})
        one_by_one: list[Any] = [
            next(looked) if isinstance(one, str) else one | {"text": next(looked)} if "text" in one else one
            for one in self.input
        ]
        for at, one in enumerate(one_by_one):
            if _is_address(one):
                one_by_one[at] = one | {"image_url": {"url": next(looked)}}
        return FilledInput(fields={"input": one_by_one})

    def read(self, body: bytes) -> Answered:
        """What a provider's answer says; providers count no tokens of it.

        Raises:
            InvalidInput: it is no verdict, or not as many as there are inputs.
        """
        try:
            said = _said.decode(body)
        except UNREADABLE as error:
            raise InvalidInput(f"The provider's answer is no moderation: {error}.") from error
        several = isinstance(self.input, list) and isinstance(self.input[0], str)
        n_inputs = len(self.input) if several else 1
        if len(said.results) != n_inputs:
            raise InvalidInput(f"The provider gave {len(said.results)} results for {n_inputs} inputs.")
        found = sorted({name for one in said.results for name, holds in one.categories.items() if holds})
        finish = "flagged" if any(one.flagged for one in said.results) else "stop"
        return Answered(", ".join(found), Usage(), said.model, finish, is_counted=False)

    def checked(self, guarded: Guarded, body: bytes) -> bytes:  # noqa: ARG002  as every kind of call does
        """The answer as it came."""
        return body


def read_moderations(body: bytes) -> ModerationsRequest:
    """Read a request.

    Raises:
        InvalidInput: a field is unknown or of another type, or there is no project or nothing to judge.

    >>> read_moderations(b'{"model": "support", "input": "I hate this shop"}').question
    'I hate this shop'
    """
    try:
        raw = _body.decode(body)
    except UNREADABLE as error:
        raise InvalidInput(f"The body is no request for moderation: {unreadable(error)}.") from error
    if not raw.model:
        raise InvalidInput("'model' is missing. Expected the name of a project, whose release moderates.")
    if raw.user is not None and len(raw.user) > MAX_USER:
        raise InvalidInput(f"'user' has {len(raw.user)} characters. Expected at most {MAX_USER}.")
    _check(raw.input)
    return ModerationsRequest(model=raw.model, input=raw.input, user=raw.user, n_bytes=len(body))


def _check(said: Any) -> None:
    inputs = said if isinstance(said, list) else [said]
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidInput(f"'input' has {len(inputs):,} entries. Expected 1 to {MAX_INPUTS:,}.")
    parts = isinstance(said, list) and isinstance(said[0], dict)
    for index, one in enumerate(inputs):
        if not (_is_part(one) if parts else isinstance(one, str) and one):
            what = "an empty text" if one == "" else f"no such part ({type(one).__name__})"
            expected = (
                "{'type': 'text', 'text': ...} or {'type': 'image_url', 'image_url': {'url': ...}}"
                if parts
                else "a text"
            )
            raise InvalidInput(f"'input' entry {index} is {what}. Expected {expected}.")


def _is_part(one: Any) -> bool:
    match one:
        case {"type": "text", "text": str(text), **more}:
            return bool(text) and not more
        case {"type": "image_url", "image_url": {"url": str(url)}, **more}:
            return not more and not _OTHER_DATA.match(url)
    return False


def _texts(said: str | list[Any]) -> Iterator[str]:
    for one in [said] if isinstance(said, str) else said:
        if isinstance(one, str):
            yield one
        elif "text" in one:
            yield one["text"]


def _addresses(said: str | list[Any]) -> Iterator[str]:
    for one in [] if isinstance(said, str) else said:
        if _is_address(one):
            yield one["image_url"]["url"]


def _is_address(one: Any) -> bool:
    """Whether it is where a picture lies, and not the picture itself."""
    return isinstance(one, dict) and "image_url" in one and not is_data(one["image_url"]["url"])
