"""``/v1/chat/completions`` as far as the gateway reads it: what is asked, of whom, and what came back.

Everything else of a request goes to the provider, and everything of its answer to the caller, as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.text import printable
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.guarding import Guarded
from headrace.gateway.llm.loaded import Loaded
from headrace.gateway.llm.reading import UNREADABLE, unreadable
from headrace.gateway.prompts import Prompt

MAX_MESSAGES = 2_000
_ROLES = frozenset("system developer user assistant tool function".split())
_INSTRUCTS = frozenset(("system", "developer"))
_OURS = "headrace"
_KNOWN = frozenset(
    "headrace audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens "
    "max_tokens messages metadata modalities model n parallel_tool_calls prediction presence_penalty "
    "prompt_cache_key reasoning_effort response_format safety_identifier seed stop store "
    "stream stream_options temperature tool_choice tools top_k top_logprobs top_p user verbosity".split()
)
_KEPT_HERE = frozenset(("metadata", "prompt_cache_key", "safety_identifier", "store", "user", _OURS))
"""Says who asks and why, which is nobody's business but ours."""
_UNTOLD = _KEPT_HERE | {"model", "messages", "stream", "stream_options", "logit_bias"}
"""What is looked at elsewhere, or can hold no text; callers may say something in all other fields."""
_TEXTS = ("user", "safety_identifier", "reasoning_effort", "verbosity")
_LISTS = ("tools", "functions", "modalities")
_OBJECTS = ("stream_options", "response_format", "prediction", "audio", "logit_bias", _OURS)
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_REQUIRED = ("model", "messages")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "the name of a project"),
    "messages": ((list,), "a list of messages"),
    "stream": ((bool, type(None)), "true or false"),
    **dict.fromkeys(_TEXTS, ((str, type(None)), "a text")),
    **dict.fromkeys(_LISTS, ((list, type(None)), "a list")),
    **dict.fromkeys(_OBJECTS, ((dict, type(None)), "an object")),
    **dict.fromkeys(_NUMBERS, ((int, float, type(None)), "a number")),
    **dict.fromkeys(("seed", "top_k", "top_logprobs"), ((int, type(None)), "a whole number")),
    **dict.fromkeys(("logprobs", "parallel_tool_calls"), ((bool, type(None)), "true or false")),
    **dict.fromkeys(("tool_choice", "function_call"), ((str, dict, type(None)), "a text or an object")),
    "stop": ((str, list, type(None)), "a text or a list of texts"),
}
_STREAM_OPTIONS = frozenset(("include_usage", "include_obfuscation"))
MAX_USER = 512
_FILTERED = "content_filter"
_BYTES_PER_TOKEN = 2
_MEDIA_TOKENS = 3_000
_LIMITS = ("max_completion_tokens", "max_tokens")
_MOST = 10**8
"""Less than this is asked for, of tokens; more might be a card's number."""
_COUNTED = ("prompt_tokens", "completion_tokens")
_MOST_ANSWERS = 128
"""Of one question, as OpenAI takes them: a provider's answer is held in memory as a whole."""
_MAY_SAY_NOTHING = frozenset(("assistant", "function"))
_MOST_BIAS, _TOKEN_DIGITS = 100, 7
_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


class Usage(NamedTuple):
    """Tokens of one call, as the provider counts them.

    Attributes:
        cached: of the input, those read from the provider's cache.
        written: of the input, those written into it; ``written_1h``: of these, those to stay for an hour.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One request.

    Attributes:
        model: the project that is asked.
        user: whose request it is, as the caller says; the same one meets the same release.
        n_bytes: how long it is.
        variables: what fills the prompt in.
        usage: whether a stream ends with the tokens, as the caller wants it.
    """

    path: ClassVar[str] = "/chat/completions"
    operation: ClassVar[str] = "chat"
    records: ClassVar[str] = "predictions"

    model: str
    messages: list[dict[str, Any]]
    body: dict[str, Any]
    stream: bool = False
    usage: bool = False
    user: str | None = None
    n_bytes: int = 0
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """What the last message of a user says: what is recorded as the question."""
        for message in reversed(self.messages):
            if message["role"] == "user":
                return text_of(message.get("content"))
        return text_of(self.messages[-1].get("content"))

    def targets(self, loaded: Loaded) -> tuple[Target, ...]:
        """Whom the release lets answer, in order."""
        return loaded.targets

    def filled(self, prompt: Prompt, guarded: Guarded) -> Filled:
        """What the release makes of it, once guards have looked at it.

        Raises:
            Blocked: it may not leave.
            InvalidInput: as :func:`fill_in` does.
        """
        messages = guarded.request(self.messages)
        return fill_in(prompt, self._looked_at(guarded), messages)

    def _looked_at(self, guarded: Guarded) -> ChatRequest:
        """With what the caller says beside the messages as it may leave."""
        told = {
            name: value
            for name, value in self.body.items()
            if name not in _UNTOLD and value and not isinstance(value, bool)
        }
        if not (told or self.variables):
            return self
        looked = guarded.texts({"variables": dict(self.variables), **told})
        return replace(self, variables=looked.pop("variables"), body={**self.body, **looked})

    def read(self, body: bytes) -> Answered:
        """Read a provider's whole answer; raises as :func:`read_answer` does."""
        return read_answer(body)

    def checked(self, guarded: Guarded, body: bytes) -> bytes:
        """The answer as its caller may have it; raises as :meth:`Guarded.answer` does."""
        return guarded.answer(body)


def read_chat(body: bytes) -> ChatRequest:
    """Read a request.

    Raises:
        InvalidInput: it is no JSON object, a field is unknown or of another type, or a message is none.

    >>> read_chat(b'{"model": "support", "messages": [{"role": "user", "content": "Hi"}]}').question
    'Hi'
    """
    try:
        raw = _decoder.decode(body)
    except UNREADABLE as error:
        raise InvalidInput(f"The body is no JSON object: {unreadable(error)}.") from error
    return chat_request(raw, len(body))


def chat_request(raw: dict[str, Any], n_bytes: int) -> ChatRequest:
    """A request of these fields; raises as :func:`read_chat` does.

    Args:
        n_bytes: how long it was.
    """
    unknown = sorted(raw.keys() - _KNOWN)
    if unknown:
        raise InvalidInput(
            f"Nothing is known of the field {printable(unknown[0][:60])!r}. What the model needs beside the "
            "OpenAI API belongs into the prompt's 'parameters'; values of its variables into "
            "'headrace': {'variables': {...}}."
        )
    for name in dict.fromkeys((*_REQUIRED, *raw)):
        if name not in _TYPES:
            continue
        value, (types, expected) = raw.get(name), _TYPES[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise InvalidInput(f"'{name}' is {type(value).__name__}. Expected {expected}.")
    require_some("n", raw.get("n"), _MOST_ANSWERS)
    for name in _LIMITS:
        require_some(name, raw.get(name))
    _check_numbers_alone(raw)
    _check_messages(raw["messages"])
    options = raw.get("stream_options") or {}
    return ChatRequest(
        model=raw["model"],
        messages=raw["messages"],
        body=raw,
        stream=bool(raw.get("stream")),
        usage=bool(options.get("include_usage")),
        user=_user(raw),
        n_bytes=n_bytes,
        variables=_variables(raw.get(_OURS) or {}),
    )


def require_some(name: str, n: Any, most: int = _MOST - 1) -> None:
    """Raises InvalidInput where a caller wants less than one of something that budgets count, more than
    ``most``, or a count that is none.

    >>> require_some("max_tokens", 300)
    """
    is_whole = isinstance(n, int) and not isinstance(n, bool)
    if n is not None and not (is_whole and 1 <= n <= most):
        got = n if is_whole and abs(n) < _MOST else type(n).__name__
        raise InvalidInput(f"'{name}' is {got}. Expected a whole number from 1 to {most:,}.")


def _check_numbers_alone(raw: Mapping[str, Any]) -> None:
    """No guard looks at these fields, so nothing but switches and numbers may be in them."""
    for name, on in (raw.get("stream_options") or {}).items():
        if name not in _STREAM_OPTIONS or not isinstance(on, bool | None):
            expected = ", ".join(sorted(_STREAM_OPTIONS))
            raise InvalidInput(f"'stream_options' has another entry. Expected {expected}: true or false.")
    for token, bias in (raw.get("logit_bias") or {}).items():
        is_token = token.isascii() and token.isdigit() and len(token) <= _TOKEN_DIGITS
        is_bias = isinstance(bias, int | float) and not isinstance(bias, bool) and abs(bias) <= _MOST_BIAS
        if not (is_token and is_bias):
            raise InvalidInput(
                "'logit_bias' has an entry of another kind. Expected ids of tokens, each with a number from "
                f"-{_MOST_BIAS} to {_MOST_BIAS}."
            )


def _user(raw: Mapping[str, Any]) -> str | None:
    user = raw.get("safety_identifier") or raw.get("user")
    if user is not None and len(user) > MAX_USER:
        raise InvalidInput(f"'user' has {len(user)} characters. Expected at most {MAX_USER}.")
    return user


def _variables(ours: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(ours.keys() - {"variables"})
    values = ours.get("variables") or {}
    if unknown or not isinstance(values, dict):
        what = f"has {printable(unknown[0][:60])!r}" if unknown else "has variables that are no object"
        raise InvalidInput(f"'{_OURS}' {what}. Expected {{'variables': {{name: value}}}}.")
    return values


def _check_messages(messages: list[Any]) -> None:
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise InvalidInput(f"There are {len(messages):,} messages. Expected 1 to {MAX_MESSAGES:,}.")
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in _ROLES:
            raise InvalidInput(
                f"'messages' entry {index} has no role that is known. Expected an object with one of "
                f"{', '.join(sorted(_ROLES))}."
            )
        content = message.get("content")
        if not _is_content(content, role):
            raise InvalidInput(
                f"'messages' entry {index} has a content of {type(content).__name__}. Expected a text or "
                "a list of parts, of which those of the type 'text' have one."
            )


def _is_content(content: Any, role: str) -> bool:
    if isinstance(content, list):
        return all(
            isinstance(part, dict) and (part.get("type") != "text" or isinstance(part.get("text"), str))
            for part in content
        )
    return isinstance(content, str) or (content is None and role in _MAY_SAY_NOTHING)


def text_of(content: Any) -> str:
    """The text of a message's content, its parts one to a line."""
    if isinstance(content, str):
        return content
    parts = (part.get("text") for part in content or () if isinstance(part, dict))
    return "\n".join(part for part in parts if isinstance(part, str))


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A request as the release makes it: only the model's own name is still open."""

    fields: dict[str, Any]

    @property
    def texts(self) -> tuple[str, ...]:
        """What the model is told, message by message."""
        return tuple(text_of(message.get("content")) for message in self.fields["messages"])

    @property
    def most_input(self) -> int:
        """More tokens than it can be; what is no text counts as a large picture."""
        n_media: int = sum(
            part.get("type") != "text"
            for message in self.fields["messages"]
            for part in message.get("content") or ()
            if isinstance(part, dict)
        )
        return n_tokens(self.fields) + n_media * _MEDIA_TOKENS

    def most_output(self, otherwise: int) -> int:
        """How many tokens the answers may have, all of them; sets ``otherwise`` where nothing is said."""
        said = [limit for name in _LIMITS if isinstance(limit := self.fields.get(name), int)]
        if not said:
            self.fields["max_completion_tokens"] = otherwise
        n = self.fields.get("n")
        n_answers = n if isinstance(n, int) and n > 0 else 1
        return max(1, *(said or [otherwise])) * n_answers

    def for_model(self, model: str) -> bytes:
        """The body for one provider's model."""
        return _encoder.encode({**self.fields, "model": model})


class FilledInput(Filled):
    """A request whose ``input`` is looked at and never continued: for vectors, or to be judged."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Nothing that an answer could rest on."""
        return ()

    @property
    def most_input(self) -> int:
        """More tokens than it can be; a picture counts as a large one."""
        said = self.fields["input"]
        of = () if isinstance(said, str) else said
        n_media = sum(isinstance(one, dict) and "text" not in one for one in of)
        return n_tokens(said) + n_media * _MEDIA_TOKENS

    def most_output(self, otherwise: int) -> int:  # noqa: ARG002  as every kind of call does
        """Vectors and verdicts are paid with what they are of."""
        return 0


def n_tokens(said: Any) -> int:
    """More tokens than it can be for the tokenisers of today: text has at least two bytes in each."""
    return len(_encoder.encode(said)) // _BYTES_PER_TOKEN + 1


def fill_in(prompt: Prompt, asked: ChatRequest, messages: list[dict[str, Any]] | None = None) -> Filled:
    """The request that a release makes of what a caller asks.

    Args:
        messages: the caller's, as they may leave; as they came unless given.

    Raises:
        InvalidInput: a variable is missing, or the caller sends instructions that are not theirs to give.
    """
    messages = asked.messages if messages is None else messages
    if prompt.template:
        if not prompt.callers_instruct and any(message["role"] in _INSTRUCTS for message in messages):
            raise InvalidInput(
                f"The instructions of {asked.model!r} are its release's. Leave out messages of the roles "
                "'system' and 'developer', or set callers_instruct in the prompt."
            )
        own = {"role": "system", "content": prompt.instructions(asked.variables)}
        messages = [own, *messages]
    elif asked.variables:
        prompt.instructions(asked.variables)
    fields = {name: value for name, value in asked.body.items() if name not in _KEPT_HERE}
    if any(name in prompt.parameters for name in _LIMITS):
        for name in _LIMITS:  # a model that knows both would take the larger
            fields.pop(name, None)
    fields |= {**prompt.parameters, "messages": messages}
    if prompt.tools:
        fields["tools"] = list(prompt.tools)
    if asked.stream:
        # What was spent is only known where the provider says it.
        fields["stream_options"] = {**(asked.body.get("stream_options") or {}), "include_usage": True}
    return Filled(fields=fields)


class Answered(NamedTuple):
    """What an answer says, as far as it is recorded and paid for; ``is_counted``: the provider has said what
    it took; ``is_refused``: it says itself that it is no answer; ``calls``: of ``tools``, as they came;
    ``fingerprint``: of what the provider ran; ``took_ms``: how long it took, where that was measured."""

    text: str
    usage: Usage
    model: str
    finish: str
    tools: tuple[str, ...] = ()
    is_counted: bool = True
    is_refused: bool = False
    calls: tuple[dict[str, Any], ...] = ()
    fingerprint: str = ""
    took_ms: float = 0.0


NOTHING = Answered("", Usage(), "", "")
"""Where there was no answer."""
UNREAD = NOTHING._replace(is_counted=False)
"""Where there was one that nobody can read, and that has to be paid."""


def read_answer(body: bytes) -> Answered:
    """Read a provider's whole answer.

    Raises:
        InvalidInput: it is no chat completion.
    """
    try:
        raw = _decoder.decode(body)
        choices = raw["choices"]
        message = choices[0]["message"]
        texts = [text_of(choice["message"].get("content")) for choice in choices]
        calls = tuple(call for call in message.get("tool_calls") or () if "function" in call)
        names = tuple(str(call["function"]["name"]) for call in calls)
        said, model = raw.get("usage"), str(raw.get("model", ""))
        used, is_counted = usage_of(said), _says_all(said)
        if not is_counted:
            used = used._replace(output=max(used.output, n_tokens([texts, calls])))
        finish = _finish(choices[0])
        return Answered(
            "\n".join(texts),
            used,
            model,
            finish,
            names,
            is_counted=is_counted,
            is_refused=bool(message.get("refusal")) or finish == _FILTERED,
            calls=calls,
            fingerprint=str(raw.get("system_fingerprint") or ""),
        )
    except (*UNREADABLE, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"The provider's answer is no chat completion ({type(error).__name__})."
        ) from error


def says_tokens(raw: Any) -> bool:
    """Whether a provider says what it took: not where a count is none, or more than any call can take.

    >>> says_tokens({"prompt_tokens": 7, "completion_tokens": 2}), says_tokens({"prompt_tokens": -7})
    (True, False)
    """
    if not isinstance(raw, dict):
        return False
    said = [n for name in _COUNTED if (n := raw.get(name)) is not None]
    return bool(said) and all(type(n) is int and 0 <= n < _MOST for n in said)


def _says_all(raw: Any) -> bool:
    """Whether it says as well what the answer took: some providers count the question alone."""
    return says_tokens(raw) and all(raw.get(name) is not None for name in _COUNTED)


def usage_of(raw: Any) -> Usage:
    """Tokens as the provider says them; none where it does not."""
    if not isinstance(raw, dict):
        return Usage()
    said, made = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    details = raw.get("prompt_tokens_details")
    if not isinstance(details, dict):
        return Usage(said, made)
    written = _count(details.get("cache_creation_tokens"))
    hour = _count(details.get("cache_creation_1h_tokens"))
    return Usage(said, made, _count(details.get("cached_tokens")), written, min(hour, written))


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value < _MOST else 0


def _finish(choice: Mapping[str, Any]) -> str:
    return str(choice.get("finish_reason") or "")


def _require_plain(value: Any) -> None:
    """Raises TypeError where something else could not be found by it."""
    if isinstance(value, dict | list):
        raise TypeError(type(value).__name__)


class Gathered:
    """What a stream has said so far; fed with its events as they come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tools: list[str] = []
        self._model = self._finish = ""
        self._goes_on = False  # something was said since it was counted
        self.usage: Usage | None = None
        self.n_chunks = 0

    def add(self, data: bytes) -> dict[str, Any]:
        """Take one event's data, without ``data:``.

        Raises:
            InvalidInput: it is no chunk of a chat completion.
        """
        try:
            chunk = _decoder.decode(data)
            if chunk.get("error"):
                raise InvalidInput("The provider's stream ends with an error.")
            for choice in chunk.get("choices") or ():
                _require_plain(choice.get("finish_reason"))
                self._finish = _finish(choice) or self._finish
                delta = choice.get("delta") or {}
                self._goes_on |= bool(delta.get("content") or delta.get("tool_calls"))
                if delta.get("content"):
                    self._texts.append(text_of(delta["content"]))
                for call in delta.get("tool_calls") or ():
                    _require_plain(call.get("index"))
                    if name := (call.get("function") or {}).get("name"):
                        self._tools.append(str(name))
        except (*UNREADABLE, TypeError, AttributeError) as error:
            what = f"is no chunk of a chat completion ({type(error).__name__})"
            raise InvalidInput(f"An event of the provider's stream {what}.") from error
        self.n_chunks += 1
        self._model = self._model or str(chunk.get("model") or "")
        if says_tokens(chunk.get("usage")):
            self.usage = usage_of(chunk["usage"])
            self._goes_on &= not _says_all(chunk["usage"])
        return chunk

    @property
    def answered(self) -> Answered:
        """All of it. Where the provider has not said what all of it took, it is as many tokens as the text
        can be, and each chunk at least one."""
        usage, text = self.usage or Usage(), "".join(self._texts)
        is_counted = self.usage is not None and not self._goes_on
        if not is_counted:
            n_said = max(usage.output, self.n_chunks, n_tokens(text) if text else 0)
            usage = usage._replace(output=n_said)
        return Answered(text, usage, self._model, self._finish, tuple(self._tools), is_counted=is_counted)
