"""Orders to a model in a text: rules decide on what is certain, the classifier advises on what is likely."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.classifier import remembered
from headrace.gateway.guardrails.guards import Action, Context, Hit, Layer
from headrace.gateway.guardrails.unfolding import normalise

_FORGED = re.compile(
    r"<\|(?:im_start|im_end|endoftext|system|user|assistant|eot_id|start_header_id|end_header_id)\|>"
    r"|\[/?INST\]|<</?SYS>>|</?s>\s*\[INST\]",
    re.IGNORECASE,
)
_WITHIN = r"(?:[\w']+ ){0,4}?"
_OVERRIDE = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|discard|neglect|set aside|stop following|do not follow|"
    rf"don't follow|pay no attention to) {_WITHIN}(?:previous|prior|above|earlier|preceding|initial|original|"
    rf"former|system|your|all|any) {_WITHIN}(?:instructions?|prompts?|rules|guidelines|directives|directions|"
    r"commands|programming)\b"
    r"|\b(?:ignorier\w*|vergiss|vergessen sie) (?:\w+ ){0,3}(?:anweisungen|regeln|instruktionen)\b"
    r"|\b(?:ignorez?|oublie[zs]?) (?:\w+ ){0,3}(?:instructions|regles|consignes)\b"
    r"|\b(?:ignor[ae]|olvid[ae]) (?:\w+ ){0,3}(?:instrucciones|reglas|instrucoes|regras)\b"
)
_LEAK = re.compile(
    r"\b(?:print|reveal|repeat|show|output|display|leak|disclose|dump|return|write|give|tell) "
    rf"{_WITHIN}(?:your|the) (?:own )?(?:system|hidden|initial|original|secret|internal|first|developer) "
    r"(?:prompt|instructions?|message|rules)\b"
)
_DETAILS = {
    "likely": "the text reads like an order to the model",
    "forged": "marks that make a text pass for another role's",
    "override": "an order to set instructions aside",
    "leak": "an order to tell the prompt",
}
_READ: tuple[Layer, ...] = ("input", "context", "tool_arguments", "tool_result")


class Scorer(Protocol):
    """Whatever gives a text a score between 0 and 1: the share of harmless texts that look less dangerous."""

    def score(self, text: str) -> float:
        """The score; the same for the same text."""


class Injection:
    """Rules ``injection.likely``, by the classifier; ``injection.override`` and ``injection.leak``, of orders
    in the usual words; ``injection.forged``, of marks that only a provider sets.

    Args:
        flag_at: from this score on a text is flagged. The score says how many harmless texts look less like
            an attack: 0.99 flags about one of a hundred of those.
        block_at: from this score on it is blocked; without it the classifier blocks nothing.
        orders: what is done with an order to set instructions aside or to tell the prompt. People write to
            each other in such words too, if seldom.
        forged: what is done where a text holds marks of a chat's template, such as ``<|im_start|>``, by which
            it would pass for another role.
        layers: where it looks. Not at output, by default: a model may well talk about an attack.
        scorer: another classifier; by default the one that comes with Headrace.

    Raises:
        InvalidInput: a threshold is not between 0 and 1.

    >>> guard = Injection(block_at=0.999)
    >>> guard.check("What is the capital of France?", Context(layer="input"))
    []
    """

    whole = True
    reach = None
    """An order may stand anywhere in the text, so a stream waits for its end."""

    def __init__(
        self,
        *,
        flag_at: float = 0.99,
        block_at: float | None = None,
        orders: Action = "flag",
        forged: Action = "mask",
        layers: Iterable[Layer] = _READ,
        scorer: Scorer | None = None,
        name: str = "injection",
    ) -> None:
        for key, value in (("flag_at", flag_at), ("block_at", block_at)):
            if value is not None and not 0 < value <= 1:
                raise InvalidInput(
                    f"{key} is {value}, expected a number above 0 and at most 1, such as 0.99."
                )
        self.flag_at, self.block_at = flag_at, block_at
        self.orders, self.forged = orders, forged
        self.layers = frozenset(layers)
        self.scorer = scorer
        self.name = name

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """At most one hit of each rule, for the whole text, and one for each forged mark."""
        hits = []
        if self.forged != "pass":
            hits = [self._hit("forged", self.forged, context, m.span()) for m in _FORGED.finditer(text)]
        whole = (0, len(text))
        if self.orders != "pass":
            plain = normalise(text)
            for rule, pattern in (("override", _OVERRIDE), ("leak", _LEAK)):
                if pattern.search(plain):
                    hits.append(self._hit(rule, self.orders, context, whole))
        score = (self.scorer or remembered()).score(text)
        action: Action = "block" if self.block_at is not None and score >= self.block_at else "flag"
        if action == "block" or score >= self.flag_at:
            hits.append(self._hit("likely", action, context, whole, score))
        return hits

    def _hit(
        self, rule: str, action: Action, context: Context, span: tuple[int, int], score: float | None = None
    ) -> Hit:
        return Hit(
            rule=f"{self.name}.{rule}",
            layer=context.layer,
            action=action,
            span=span,
            detail=_DETAILS[rule],
            label="MARK",
            score=score,
        )
