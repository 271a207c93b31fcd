"""Whether texts say the same in other words, how steady answers are, and whether a voice has changed.

Two texts have the same essence if they name the same numbers, deny as much, and their words of content are
alike by groups of letters (cosine of their counts). So order, endings and small words may differ. A synonym
that shares no letters counts as another word: such texts pass for different, which is the safe side.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput

LIKE = 0.5
"""From which likeness on two texts can have the same essence."""
_LETTERS = 3
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_DENIES = frozenset("no not never none nobody nothing cannot nor neither without".split())
_SMALL = frozenset(
    "a an the of to in on at by for from with as and or but if so than that this these those it its is are "
    "was were be been being am i you he she we they me us him her them my your our their his do does did has "
    "have had can could may might will would shall should must there here very just also please".split()
)
_SHORT, _FREQUENT = 4, 40
"""Words up to so many letters carry a voice rather than a content; the most frequent so many are counted."""
_MARKS = ("!", "?", ";", ":", ",", "*", "\n", "...", "\u2014")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """How steady answers are over repeats.

    Attributes:
        n: questions; ``steady``: those whose answers all have one essence.
        lower, upper: one-sided 95 % bounds of the share of steady questions (Clopper and Pearson,
            Biometrika 26, 1934): each is wrong in 5 % of cases at most, whatever the share is.
        likeness: mean likeness of two answers to one question; ``within``: standard deviation of it among
            the answers to one question, ``between``: of its mean among questions.
        unsteady: places of the questions that are not steady.
    """

    n: int
    steady: int
    lower: float
    upper: float
    likeness: float
    within: float
    between: float
    unsteady: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How two sets of answers to the same questions differ in voice.

    Attributes:
        p_value: of a permutation test among the answers to each question: that the voices are one.
        share: of the variance of what is measured that the two sets explain, from 0 to 1.
    """

    p_value: float
    share: float


def likeness(one: str, other: str) -> float:
    """How alike the words of content of two texts are, from 0 to 1.

    >>> round(likeness("Returns take thirty days.", "Thirty days: that is how long a return takes."), 1)
    0.7
    """
    first, second = _groups(one), _groups(other)
    if not first or not second:
        return float(first == second and one.split() == other.split())
    shared = sum(n * second[group] for group, n in first.items())
    return shared / sqrt(sum(n * n for n in first.values()) * sum(n * n for n in second.values()))


def same_essence(one: str, other: str, like: float = LIKE) -> bool:
    """Whether two texts say the same, as far as numbers, denials and words of content show.

    >>> same_essence("You may return it within 30 days.", "Within 30 days you can return it.")
    True
    >>> same_essence("You may return it within 30 days.", "You may not return it within 30 days.")
    False
    """
    if _numbers(one) != _numbers(other) or _denials(one) % 2 != _denials(other) % 2:
        return False
    return likeness(one, other) >= like


def steadiness(answers: Sequence[Sequence[str]], like: float = LIKE) -> Steadiness:
    """How steady the answers to each question are.

    Args:
        answers: of each question two or more.

    Raises:
        InvalidInput: there is no question, or one has fewer than two answers.
    """
    from scipy.stats import beta

    if not answers or min(map(len, answers)) < 2:
        raise InvalidInput("Steadiness is of questions that were answered twice or more. Ask more often.")
    unsteady, means, spreads = [], [], []
    for place, said in enumerate(answers):
        pairs = list(combinations(said, 2))
        measured = [likeness(one, other) for one, other in pairs]
        means.append(float(np.mean(measured)))
        spreads.append(float(np.var(measured)))
        if not all(same_essence(one, other, like) for one, other in pairs):
            unsteady.append(place)
    n, steady = len(answers), len(answers) - len(unsteady)
    return Steadiness(
        n=n,
        steady=steady,
        lower=0.0 if steady == 0 else float(beta.ppf(0.05, steady, n - steady + 1)),
        upper=1.0 if steady == n else float(beta.ppf(0.95, steady + 1, n - steady)),
        likeness=float(np.mean(means)),
        within=sqrt(float(np.mean(spreads))),
        between=float(np.std(means)),
        unsteady=tuple(unsteady),
    )


def compare_voices(
    before: Sequence[Sequence[str]], after: Sequence[Sequence[str]], *, seed: int = 0, rounds: int = 999
) -> Voice:
    """Whether the answers to the same questions come in another voice.

    A voice is measured by small words, marks, and the lengths of words and sentences; whose answer is whose
    is permuted within each question. So what a question is about explains nothing, and the p-value holds its
    level however the answers are distributed.

    Args:
        before, after: of each question as many answers.

    Raises:
        InvalidInput: there are fewer than two answers to a question, or other questions on one side.
    """
    sizes = [len(one) for one in before]
    if not sizes or sizes != [len(one) for one in after] or min(sizes) < 2:
        raise InvalidInput("Voices are compared by as many answers, two or more, to the same questions.")
    texts = [[*one, *other] for one, other in zip(before, after, strict=True)]
    known = Counter(word for said in texts for text in said for word in _words(text) if len(word) <= _SHORT)
    frequent = [word for word, _ in known.most_common(_FREQUENT)]
    blocks = [np.array([_voice(text, frequent) for text in said]) for said in texts]
    centred = [block - block.mean(axis=0) for block in blocks]
    scale = np.sqrt(np.mean(np.concatenate(centred) ** 2, axis=0))
    if not scale.any():
        return Voice(p_value=1.0, share=0.0)
    kept = scale > 0
    scaled = [block[:, kept] / scale[kept] for block in centred]
    halves = [np.arange(2 * size) < size for size in sizes]
    observed = _apart(scaled, halves)
    rng = np.random.default_rng(seed)
    as_far = sum(
        _apart(scaled, [rng.permutation(half) for half in halves]) >= observed * (1 - 1e-12)
        for _ in range(rounds)
    )
    total = sum(float((block**2).sum()) for block in scaled)
    between = _between(scaled, halves)
    return Voice(p_value=(1 + as_far) / (1 + rounds), share=between / total)


def _apart(blocks: Sequence[NDArray[np.float64]], halves: Sequence[NDArray[np.bool_]]) -> float:
    """How far the two sets are apart over all questions: a change in one direction adds up."""
    moved = sum(
        (
            block[half].mean(axis=0) - block[~half].mean(axis=0)
            for block, half in zip(blocks, halves, strict=True)
        ),
        np.zeros(blocks[0].shape[1]),
    )
    return float((moved**2).sum())


def _between(blocks: Sequence[NDArray[np.float64]], halves: Sequence[NDArray[np.bool_]]) -> float:
    sides = (part for block, half in zip(blocks, halves, strict=True) for part in (block[half], block[~half]))
    return sum(len(part) * float((part.mean(axis=0) ** 2).sum()) for part in sides)


def _voice(text: str, frequent: Sequence[str]) -> list[float]:
    words = _words(text)
    n, counts = max(len(words), 1), Counter(words)
    sentences = max(len(re.findall(r"[.!?]+", text)), 1)
    return [
        *(counts[word] / n for word in frequent),
        *(text.count(mark) / n for mark in _MARKS),
        len(_EMOJI.findall(text)) / n,
        sum("'" in word or "\u2019" in word for word in words) / n,
        sum(letter.isupper() for letter in text) / max(len(text), 1),
        float(np.log1p(len(words))),
        float(np.log1p(len(words) / sentences)),
        sum(map(len, words)) / n,
    ]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _groups(text: str) -> Counter[str]:
    words = (word for word in _words(text) if word not in _SMALL)
    return Counter(group for word in words for group in _of_letters(f"^{word}$"))


def _of_letters(word: str) -> Iterable[str]:
    return (word[place : place + _LETTERS] for place in range(max(len(word) - _LETTERS + 1, 1)))


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _denials(text: str) -> int:
    return sum(word in _DENIES or word.endswith(("n't", "n\u2019t")) for word in _words(text))
