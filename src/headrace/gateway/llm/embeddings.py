"""``/v1/embeddings`` as far as the gateway reads it: texts become vectors by the models that a release names.

The answer goes to the caller as it came: in vectors nothing can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.chat import (
    MAX_USER,
    Answered,
    Filled,
    FilledInput,
    require_some,
    says_tokens,
    usage_of,
)
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.guarding import Guarded
from headrace.gateway.llm.loaded import Loaded, require_named
from headrace.gateway.llm.reading import UNREADABLE, unreadable
from headrace.gateway.prompts import Prompt

MAX_TEXTS = 2_048


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request, as the OpenAI API has it."""

    model: str
    input: Any
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class _Used(msgspec.Struct):
    prompt_tokens: int = 0


class _Said(msgspec.Struct):
    data: list[msgspec.Raw]
    model: str = ""
    usage: _Used | None = None


_body = msgspec.json.Decoder(_Body)
_said = msgspec.json.Decoder(_Said)


@dataclass(frozen=True, kw_only=True)
class EmbeddingsRequest:
    """One request.

    Attributes:
        model: the project that is asked.
        fields: what else a provider is told.
        user: whose request it is, as the caller says.
        n_bytes: how long it is.
    """

    path: ClassVar[str] = "/embeddings"
    operation: ClassVar[str] = "embeddings"
    records: ClassVar[str] = "embeddings"

    model: str
    texts: list[str]
    fields: dict[str, Any]
    user: str | None = None
    n_bytes: int = 0

    @property
    def question(self) -> str:
        """The texts, one to a line: what is recorded as asked."""
        return "\n".join(self.texts)

    def targets(self, loaded: Loaded) -> tuple[Target, ...]:
        """Whom the release lets make vectors, in order.

        Raises:
            InvalidInput: nobody.
        """
        such_as = "openai/text-embedding-3-small"
        require_named(loaded.embedders, self.model, does="makes vectors", key="embeddings", such_as=such_as)
        return loaded.embedders

    def filled(self, prompt: Prompt, guarded: Guarded) -> Filled:  # noqa: ARG002  nothing is written around
        """What a provider is told, once guards have looked at it.

        Raises:
            Blocked: it may not leave.
        """
        texts = guarded.documents(self.texts)
        # One text stays one: providers may answer in another way to a list.
        single = not isinstance(self.fields["input"], list)
        return FilledInput(fields={**self.fields, "input": texts[0] if single else texts})

    def read(self, body: bytes) -> Answered:
        """What a provider's answer took.

        Raises:
            InvalidInput: it is no list of vectors, or not as many as there are texts.
        """
        try:
            said = _said.decode(body)
        except UNREADABLE as error:
            raise InvalidInput(f"The provider's answer is no list of vectors: {error}.") from error
        if len(said.data) != len(self.texts):
            raise InvalidInput(f"The provider gave {len(said.data)} vectors for {len(self.texts)} texts.")
        took = {} if said.usage is None else {"prompt_tokens": said.usage.prompt_tokens}
        return Answered("", usage_of(took), said.model, "", is_counted=says_tokens(took))

    def checked(self, guarded: Guarded, body: bytes) -> bytes:  # noqa: ARG002  as every kind of call does
        """The answer as it came."""
        return body


def read_embeddings(body: bytes) -> EmbeddingsRequest:
    """Read a request.

    Raises:
        InvalidInput: a field is unknown or of another type, or there is no text.

    >>> read_embeddings(b'{"model": "support", "input": ["How long?", "What does it cost?"]}').texts
    ['How long?', 'What does it cost?']
    """
    try:
        raw = _body.decode(body)
    except UNREADABLE as error:
        raise InvalidInput(f"The body is no request for embeddings: {unreadable(error)}.") from error
    texts = raw.input if isinstance(raw.input, list) else [raw.input]
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidInput(f"'input' has {len(texts):,} texts. Expected 1 to {MAX_TEXTS:,}.")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            what = "an empty text" if text == "" else f"{type(text).__name__}"
            raise InvalidInput(
                f"'input' entry {index} is {what}. Expected a text: in tokens guards can find nothing "
                "(langchain-openai sends texts with check_embedding_ctx_length=False)."
            )
    if raw.user is not None and len(raw.user) > MAX_USER:
        raise InvalidInput(f"'user' has {len(raw.user)} characters. Expected at most {MAX_USER}.")
    require_some("dimensions", raw.dimensions)
    said = {"dimensions": raw.dimensions, "encoding_format": raw.encoding_format}
    fields = {"input": raw.input, **{name: value for name, value in said.items() if value is not None}}
    return EmbeddingsRequest(model=raw.model, texts=texts, fields=fields, user=raw.user, n_bytes=len(body))
