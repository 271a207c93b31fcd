"""Whether a comment in English praises or blames, by its words: a rule that anybody can apply by hand.

Each word of praise counts for it and each of blame against it; a negation turns the first such word within
the three that follow. It knows neither irony nor any other language: it is good for comparing many comments,
and for no single one.
"""

from __future__ import annotations

from typing import Literal

from headrace.checks.answers import words_of

PRAISE = frozenset(
    "accurate amazing awesome best brilliant clear correct easy excellent fantastic fast friendly good "
    "great happy helpful helped impressive like liked love loved nice perfect precise quick right thank "
    "thanks useful wonderful works".split()
)
BLAME = frozenset(
    "annoying awful bad broken bug confused confusing crash dead disappointed disappointing error fail "
    "failed fails fake false frustrating hate horrible incomplete incorrect irrelevant lie mistake "
    "nonsense outdated poor rude sad slow stupid terrible ugly unclear unhelpful useless waste worse "
    "worst wrong".split()
)
_NEGATIONS = frozenset("not no never hardly isn wasn don doesn didn can cannot couldn won wouldn".split())
_CONTRACTED = frozenset("isn wasn don doesn didn couldn won wouldn can".split())
_REACH = 3

Sentiment = Literal["positive", "neutral", "negative"]


def sentiment(text: str) -> Sentiment:
    """Which of the two prevails.

    >>> (
    ...     sentiment("Clear and helpful, thanks!"),
    ...     sentiment("That is not correct."),
    ...     sentiment("It is nine euros."),
    ... )
    ('positive', 'negative', 'neutral')
    """
    words, score, turned = words_of(text), 0, 0
    for at, word in enumerate(words):
        if word in _NEGATIONS and (word not in _CONTRACTED or words[at + 1 : at + 2] == ["t"]):
            turned = _REACH + (word in _CONTRACTED)
            continue
        if word in PRAISE or word in BLAME:
            score += (1 if word in PRAISE else -1) * (-1 if turned else 1)
            turned = 0
        turned = max(turned - 1, 0)
    return "positive" if score > 0 else "negative" if score < 0 else "neutral"
