"""How good a generated text is against what people have said is a good answer, one loss per row.

Both losses are rules that anybody can apply by hand. Neither sees whether two texts mean the same in other
words: a label names what must occur, and may name several ways to say it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import is_missing

OR = "|"
"""Between several ways to say the same in a label."""
_WORDS = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case and without their punctuation.

    >>> words_of("It costs 9.50 EUR, Ada!")
    ['it', 'costs', '9', '50', 'eur', 'ada']
    """
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def wrong_answer(truth: str, answer: str) -> float:
    """0 where the answer has all words of the label in a row, or of one way to say it; 1 elsewhere.

    >>> (
    ...     wrong_answer("30 days | a month", "You may return it within 30 days."),
    ...     wrong_answer("30 days", "13 days"),
    ... )
    (0.0, 1.0)
    """
    said = f" {' '.join(words_of(answer))} "
    ways = [words_of(way) for way in truth.split(OR)]
    return float(not any(way and f" {' '.join(way)} " in said for way in ways))


def word_loss(truth: str, answer: str) -> float:
    """1 less the F1 score of the words that the two share, of the nearest way to say it; between 0 and 1.

    As for extracted answers in P. Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of
    text", EMNLP 2016, but that articles count.

    >>> word_loss("within 30 days", "within 30 days"), round(word_loss("within 30 days", "30 days it is"), 3)
    (0.0, 0.429)
    """
    said = Counter(words_of(answer))
    return min(_distance(Counter(words_of(way)), said) for way in truth.split(OR))


def _distance(truth: Counter[str], said: Counter[str]) -> float:
    shared = (truth & said).total()
    return 1.0 - 2 * shared / (truth.total() + said.total()) if shared else 1.0


TEXT_LOSSES: dict[str, Callable[[str, str], float]] = {"wrong_answer": wrong_answer, "word_loss": word_loss}


def text_losses(metric: str, truth: Any, answers: Any) -> NDArray[np.float64]:
    """The loss of each row, ``(n_rows,)``: NaN without a label, and 1 where nothing was answered."""
    loss = TEXT_LOSSES[metric]
    losses = [
        math.nan if is_missing(label) else 1.0 if is_missing(answer) else loss(label_text(label), str(answer))
        for label, answer in zip(truth, answers, strict=True)
    ]
    return np.array(losses, dtype=np.float64)


def label_text(label: Any) -> str:
    """A label as people write it: a table of numbers has read 30 as 30.0."""
    return f"{label:.15g}" if isinstance(label, float | np.floating) else str(label)
