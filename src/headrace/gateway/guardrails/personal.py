"""Personal data and secrets do not go on: found by the recognisers that keep them out of the record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.access.privacy.redacting import Recogniser, builtin, secrets
from headrace.gateway.guardrails.guards import LAYERS, Action, Context, Hit, Layer

_BEGINS, _ENDS = "-----BEGIN ", "PRIVATE KEY-----"
_GIVEN: tuple[Layer, ...] = ("output", "tool_arguments")
_NUMBER = re.compile(r"\d(?:[ ./()-]{0,3}\d){6,14}(?!\d)")


class PersonalData:
    """Rules ``personal.email``, ``personal.secret``, ...: one for each label of the recognisers.

    Args:
        recognisers: by default Headrace's own; names and addresses need another one, such as Presidio's.
        action: for what is recognised.
        actions: for single labels, in capitals: ``{"SECRET": "block", "IP": "pass"}``.
        layers: where it looks.
        own: texts of the release, such as its prompt. What they say themselves, an answer and what a tool is
            given may say too, unless it is a secret: the shop's own telephone number is nobody's data.
        name: what its rules begin with.

    >>> guard = PersonalData()
    >>> [hit.rule for hit in guard.check("Write to ada@example.org", Context(layer="input"))]
    ['personal.email']
    """

    whole = False
    reach = 160
    """An address may have 64 characters before its sign, and a host that long behind it."""

    def __init__(
        self,
        recognisers: Sequence[Recogniser] = (builtin,),
        *,
        action: Action = "mask",
        actions: Mapping[str, Action] | None = None,
        layers: Iterable[Layer] = LAYERS,
        own: Iterable[str] = (),
        name: str = "personal",
    ) -> None:
        self.action: Action = action
        self.actions = dict(actions or {})
        does = {label for label, its in self.actions.items() if its != "pass"}
        is_for_secrets = action == "pass" and does <= {"SECRET"}
        self.recognisers = tuple(secrets if one is builtin and is_for_secrets else one for one in recognisers)
        self.layers = frozenset(layers)
        self.name = name
        self._own = {one for text in own for one in self._said_in(text)}

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """A hit for each thing recognised, unless its label passes, or an answer has it from the release."""
        own = self._own if context.layer in _GIVEN else ()
        hits = []
        for recognise in self.recognisers:
            for label, start, end in recognise(text):
                action = self.actions.get(label, self.action)
                if action == "pass" or (own and (label, _plain(label, text[start:end])) in own):
                    continue
                if text.startswith(_BEGINS, start) and text.find(_ENDS, start, end) + len(_ENDS) == end:
                    end = len(text)  # noqa: PLW2901 - of a key without its end, all that follows is the key
                hits.append(
                    Hit(
                        rule=f"{self.name}.{label.lower()}",
                        layer=context.layer,
                        action=action,
                        span=(start, end),
                        detail=f"{label.lower().replace('_', ' ')} recognised",
                        label=label,
                    )
                )
        return hits

    def _said_in(self, text: str) -> Iterator[tuple[str, str]]:
        """What an answer may repeat; a number need not say there that it is one of a telephone."""
        for recognise in self.recognisers:
            for label, start, end in recognise(text):
                if label != "SECRET":
                    yield label, _plain(label, text[start:end])
        yield from (("PHONE", _plain("PHONE", number)) for number in _NUMBER.findall(text))


def _plain(label: str, value: str) -> str:
    """The value without what may be written otherwise."""
    return "".join(filter(str.isdigit, value) if label == "PHONE" else value.casefold().split())
