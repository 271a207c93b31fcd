"""Personal data and secrets do not go on: found by the recognisers that keep them out of the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.access.privacy.redacting import Recogniser, builtin, secrets
from headrace.gateway.guardrails.guards import LAYERS, Action, Context, Hit, Layer

_BEGINS, _ENDS = "-----BEGIN ", "PRIVATE KEY-----"


class PersonalData:
    """Rules ``personal.email``, ``personal.secret``, ...: one for each label of the recognisers.

    Args:
        recognisers: by default Headrace's own; names and addresses need another one, such as Presidio's.
        action: for what is recognised.
        actions: for single labels, in capitals: ``{"SECRET": "block", "IP": "pass"}``.
        layers: where it looks.
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
        name: str = "personal",
    ) -> None:
        self.action: Action = action
        self.actions = dict(actions or {})
        does = {label for label, its in self.actions.items() if its != "pass"}
        is_for_secrets = action == "pass" and does <= {"SECRET"}
        self.recognisers = tuple(secrets if one is builtin and is_for_secrets else one for one in recognisers)
        self.layers = frozenset(layers)
        self.name = name

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """A hit for each thing recognised, unless its label's action is ``pass``."""
        hits = []
        for recognise in self.recognisers:
            for label, start, end in recognise(text):
                action = self.actions.get(label, self.action)
                if action == "pass":
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
