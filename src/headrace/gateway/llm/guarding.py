"""The guards in the path of one call: what a caller sends, and what the model says to it.

Where no guard changes anything, the bytes of the provider go on as they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from headrace.core.errors import InvalidInput, Unavailable, UserError
from headrace.gateway.guardrails.deltas import CheckedDeltas
from headrace.gateway.guardrails.guards import STRICTER, Action, Advice, Context, Hit, Layer, severest
from headrace.gateway.guardrails.injection import orders_at
from headrace.gateway.guardrails.messages import (
    check_answer,
    check_document,
    check_request,
    check_texts,
    reason_of,
)
from headrace.gateway.guardrails.pipeline import Pipeline, advised
from headrace.gateway.guardrails.placeholders import Placeholders
from headrace.gateway.guardrails.rules import (
    Guardrails,
    InjectionRules,
    PersonalRules,
    guardrails_of,
    pipeline_of,
)
from headrace.gateway.prompts import Prompt

_SECRETS = {
    "action": "pass",
    "actions": {"SECRET": "mask"},
    "layers": ["input", "context", "tool_arguments", "tool_result"],
}
_encode = msgspec.json.Encoder().encode


class Blocked(UserError):
    """A guard lets nothing through; the message names the rules, and nothing of the text."""


def guardrails_in_force(prompt: Prompt, *, personal: bool) -> Guardrails:
    """The settings of all guards of a release: those of its prompt, and unless it says otherwise secrets are
    masked, of data about people everything that is recognised, a text that orders the model to give away data
    or to act without leave is blocked, and what only looks like an order is flagged.

    Args:
        personal: whether the project's data is about people.

    >>> guardrails_in_force(Prompt(template="", models=("a/b",)), personal=True).injection.flag_at
    0.99
    """
    return guardrails_of(_usual(personal=personal) | prompt.guardrails)


def _usual(*, personal: bool) -> dict[str, Any]:
    return {"personal": {} if personal else _SECRETS, "injection": {}}


def guards_of(prompt: Prompt, *, personal: bool) -> Pipeline:
    """The guards of a release, by :func:`guardrails_in_force`.

    >>> [guard.name for guard in guards_of(Prompt(template="", models=("a/b",)), personal=True).guards]
    ['personal', 'injection']
    """
    own = (prompt.template, *prompt.context.values())
    return pipeline_of(guardrails_in_force(prompt, personal=personal), own=own)


def loosened(prompt: Prompt, *, personal: bool) -> list[str]:
    """What a prompt's guardrails let through that would be stopped or flagged, had they said nothing.

    Args:
        personal: whether the project's data is about people.

    >>> rules = {"injection": {"actions": {"override": "flag"}}, "personal": None}
    >>> loosened(Prompt(template="", models=("a/b",), guardrails=rules), personal=True)
    ['personal: off', 'injection.override: flag']
    """
    usual = guardrails_of(_usual(personal=personal))
    found = guardrails_in_force(prompt, personal=personal)
    said = list(_milder("hygiene", {"hidden": usual.hygiene.hidden}, {"hidden": found.hygiene.hidden}))
    if found.hygiene.max_chars > usual.hygiene.max_chars:
        said.append(f"hygiene.max_chars: {found.hygiene.max_chars}")
    if usual.personal is not None and found.personal is None:
        said.append("personal: off")
    elif usual.personal is not None and found.personal is not None:
        said += _milder("personal", _by_label(usual.personal), _by_label(found.personal))
        said += _unseen("personal", usual.personal.layers, found.personal.layers)
    if usual.injection is not None and found.injection is None:
        said.append("injection: off")
    elif usual.injection is not None and found.injection is not None:
        said += _milder("injection", _by_rule(usual.injection), _by_rule(found.injection))
        said += _milder_at(usual.injection, found.injection)
        if min(found.injection.flag_at, found.injection.block_at or 1) > usual.injection.flag_at:
            said.append(f"injection.flag_at: {found.injection.flag_at}")
        said += _unseen("injection", usual.injection.layers, found.injection.layers)
    return said


def _by_label(rules: PersonalRules) -> dict[str, Action]:
    return {"": rules.action} | {label.lower(): action for label, action in rules.actions.items()}


def _by_rule(rules: InjectionRules) -> dict[str, Action]:
    return _orders_at("input", rules) | {"forged": rules.forged}


def _orders_at(layer: Layer, rules: InjectionRules) -> dict[str, Action]:
    return orders_at(layer, rules.orders, rules.actions, rules.actions_at)


def _milder_at(usual: InjectionRules, found: InjectionRules) -> Iterator[str]:
    """The orders with which less is done in what others have written, and not so in what callers write."""
    known = set(_milder("injection", _by_rule(usual), _by_rule(found)))
    for layer in found.layers:
        for said in _milder("injection", _orders_at(layer, usual), _orders_at(layer, found)):
            if said not in known:
                yield f"{said} at {layer}"


def _milder(guard: str, usual: Mapping[str, Action], found: Mapping[str, Action]) -> Iterator[str]:
    """The rules of a guard that do less than usual; the one without a name is for all that have none."""
    for rule in dict.fromkeys((*usual, *found)):
        before, now = (actions.get(rule, actions.get("", "pass")) for actions in (usual, found))
        if STRICTER.index(now) < STRICTER.index(before):
            yield f"{guard}.{rule}: {now}" if rule else f"{guard}: {now}"


def _unseen(guard: str, usual: Sequence[Layer], found: Sequence[Layer]) -> Iterator[str]:
    return (f"{guard}: not at {layer}" for layer in usual if layer not in found)


class Guarded:
    """The guards of one call; not to be shared.

    Args:
        waits: whether guards say all that they have to say of a request before it may leave; otherwise what
            decides nothing is said by :meth:`advised`.

    Attributes:
        later: what is left to be said of the request.
        sources: what the answer may rest on.
    """

    def __init__(self, pipeline: Pipeline, *, waits: bool = True) -> None:
        self.hits: list[Hit] = []
        self.later: list[Advice] | None = None if waits else []
        self._pipeline = pipeline
        self._placeholders = Placeholders()
        # What was masked on its way to the model comes back in what it says, whoever looks at that.
        self._reads_texts = "output" in pipeline.layers
        self._reads_tools = self._reads_texts or "tool_arguments" in pipeline.layers
        self._choices: dict[int, CheckedDeltas] = {}
        self._last: dict[str, Any] = {}
        self.sources: tuple[str, ...] = ()

    @property
    def said(self) -> list[str]:
        """Rule, layer and action of each hit, once each, as it is recorded."""
        return list(dict.fromkeys(f"{hit.rule} {hit.layer} {hit.action}" for hit in self.hits))

    def request(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages as they may leave.

        Raises:
            Blocked: they may not.
        """
        checked = check_request(self._pipeline, messages, self._placeholders, self.later)
        self._keep(checked.all_hits)
        return list(checked.messages)

    def texts(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What else a caller sends, as it may leave: every string, name and long number in it is looked at.

        Call it after :meth:`request`, so that nothing in the messages names a stand-in that is made here.

        Args:
            values: as JSON has them, such as the prompt's variables, tools, or a prediction.

        Raises:
            Blocked: they may not.
            InvalidInput: they are nested too deep.

        >>> from headrace.gateway.guardrails.personal import PersonalData
        >>> Guarded(Pipeline([PersonalData()])).texts({"customer": "ada@example.org", "orders": 3})
        {'customer': '<EMAIL_1>', 'orders': 3}
        """
        plain = dict(values)
        context = Context(layer="input", later=self.later)
        made, hits = check_texts(self._pipeline, plain, context, self._placeholders)
        self._keep(hits)
        return dict(made)

    def documents(self, texts: Sequence[str]) -> list[str]:
        """Texts as they may leave for vectors: nothing comes back, and equal ones stay equal.

        Raises:
            Blocked: they may not.

        >>> from headrace.gateway.guardrails.personal import PersonalData
        >>> Guarded(Pipeline([PersonalData()])).documents(["From bob@example.org", "To ada@example.org"])
        ['From <EMAIL>', 'To <EMAIL>']
        """
        context = Context(layer="input", later=self.later)
        checked = [check_document(self._pipeline, text, context) for text in texts]
        self._keep([hit for _, hits in checked for hit in hits])
        return [text for text, _ in checked]

    def advised(self) -> None:
        """Let guards say what is left to be said of the request; a second time nothing is."""
        if self.later:
            later, self.later = self.later, []
            self.hits += chain.from_iterable(map(advised, later))

    def answer(self, body: bytes) -> bytes:
        """A whole answer as its caller may have it, with what was masked of their own in its place again.

        Raises:
            Blocked: they may not.
            InvalidInput: it is not as an answer should be.
        """
        if not self._reads_tools:
            return body
        raw = msgspec.json.decode(body)
        choices = [self._choice(choice) for choice in raw["choices"]]
        return body if choices == raw["choices"] else _encode({**raw, "choices": choices})

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        message = choice["message"]
        parts = message
        if not self._reads_texts:
            parts = {name: message[name] for name in ("tool_calls", "function_call") if name in message}
        checked = check_answer(self._pipeline, parts, sources=self.sources, placeholders=self._placeholders)
        self._keep(checked.all_hits)
        return self._without_tokens({**choice, "message": {**message, **checked.messages[0]}})

    def chunk(self, data: bytes, chunk: dict[str, Any]) -> Iterator[bytes]:
        """A piece of an answer as far as it may go on; what waits comes with a later one, or :meth:`rest`.

        Raises:
            Blocked: nothing may go on any more.
            Unavailable: it is not as a piece should be.
        """
        if not self._reads_tools:
            yield data
            return
        before = chunk.get("choices") or []
        self._last = chunk
        try:
            choices = [self._piece(choice) for choice in before]
        except (InvalidInput, TypeError, AttributeError) as error:
            raise Unavailable(f"A piece of the provider's answer cannot be read: {error}") from error
        yield data if choices == before else _encode({**chunk, "choices": choices})

    def rest(self) -> Iterator[bytes]:
        """What still waits where a stream ends without saying so of its choices: call it before the end.

        Raises:
            Blocked: it may not go on.
        """
        envelope = {name: value for name, value in self._last.items() if name not in ("choices", "usage")}
        for index, deltas in self._choices.items():
            delta = deltas.close({})
            self._take(deltas)
            if delta:
                choice = {"index": index, "delta": delta, "finish_reason": None}
                yield _encode({**envelope, "choices": [choice]})

    def _piece(self, choice: dict[str, Any]) -> dict[str, Any]:
        index, before = choice.get("index", 0), choice.get("delta") or {}
        deltas = self._choices.get(index)
        if deltas is None:
            context = Context(layer="output", sources=self.sources)
            deltas = CheckedDeltas(self._pipeline, context, self._placeholders, texts=self._reads_texts)
            self._choices[index] = deltas
        delta = deltas.feed(before)
        if choice.get("finish_reason"):
            delta = deltas.close(delta)
        self._take(deltas)
        made = choice if delta == before else {**choice, "delta": delta}
        return self._without_tokens(made, calls="tool_calls" in before or "function_call" in before)

    def _without_tokens(self, choice: dict[str, Any], *, calls: bool = False) -> dict[str, Any]:
        """The choice without its ``logprobs``, which hold every token as the model gave it."""
        if choice.get("logprobs") and (calls or self._reads_texts):
            return {**choice, "logprobs": None}
        return choice

    def _take(self, deltas: CheckedDeltas) -> None:
        if deltas.hits:
            hits, deltas.hits = deltas.hits, []
            self._keep(hits)

    def _keep(self, hits: Sequence[Hit]) -> None:
        if not hits:
            return
        self.hits += hits
        if severest(hits) == "block":
            raise Blocked(
                f"A guard has stopped it: {reason_of(hits)}. Ask it otherwise, or say what the rule may do "
                "under 'guardrails' in the prompt, and release that."
            )
        if any(hit.action == "mask" for hit in hits):
            self._reads_texts = self._reads_tools = True
