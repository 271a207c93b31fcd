"""Topics and phrases that a project does not want in its texts, by words: said in others they pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import LAYERS, Action, Context, Hit, Layer

_LONGEST = 100


class Wording:
    """Rules ``wording.<topic>``: one of the topic's words or phrases stands in the text.

    Args:
        topics: words and phrases by topic, in any case; ``*`` at an end stands for the rest of the word:
            ``{"competitors": ["acme*"], "persona": ["as an AI language model"]}``.

    Raises:
        InvalidInput: a phrase is empty, or longer than 100 characters.

    >>> guard = Wording({"advice": ["invest*"]}, action="block")
    >>> [hit.rule for hit in guard.check("Investing is fun", Context(layer="output"))]
    ['wording.advice']
    """

    whole = False
    reach = _LONGEST + 20

    def __init__(
        self,
        topics: Mapping[str, Sequence[str]],
        *,
        action: Action = "flag",
        layers: Iterable[Layer] = LAYERS,
        name: str = "wording",
    ) -> None:
        self.topics = {topic: tuple(phrases) for topic, phrases in topics.items()}
        self.action: Action = action
        self.layers = frozenset(layers)
        self.name = name
        self._patterns = {topic: _pattern(topic, phrases) for topic, phrases in self.topics.items()}

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """A hit for each word or phrase found."""
        return [
            Hit(
                rule=f"{self.name}.{topic}",
                layer=context.layer,
                action=self.action,
                span=match.span(),
                detail=f"words of the topic {topic!r}",
                label=re.sub(r"[^A-Z]+", "_", topic.upper()).strip("_") or "TOPIC",
            )
            for topic, pattern in self._patterns.items()
            for match in pattern.finditer(text)
        ]


def _pattern(topic: str, phrases: Sequence[str]) -> re.Pattern[str]:
    for phrase in phrases:
        if not 0 < len(phrase.strip(" *")) <= _LONGEST:
            raise InvalidInput(
                f"Topic {topic!r} has {phrase!r}; expected 1 to {_LONGEST} characters besides *."
            )
    made = []
    for phrase in sorted(phrases, key=len, reverse=True):
        words = r"[\s\u00a0]{1,3}".join(re.escape(word) for word in phrase.strip(" *").split())
        before = r"(?<!\w)\w{0,40}" if phrase.startswith("*") else r"(?<!\w)"
        after = r"\w{0,40}(?!\w)" if phrase.endswith("*") else r"(?!\w)"
        made.append(before + words + after)
    return re.compile("|".join(made) or r"(?!)", re.IGNORECASE)
