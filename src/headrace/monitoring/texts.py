"""Texts and images of a window as numbers and categories: what is watched of them beside the words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from headrace.checks.drift import Shift
from headrace.checks.images import ImageProfile
from headrace.checks.profiles import CategoricalProfile, FeatureProfile, Profile
from headrace.checks.texts import TextProfile, WordCounts
from headrace.checks.words import words_shift
from headrace.core.ports import Columns

Medium = TextProfile | ImageProfile


class Read(NamedTuple):
    """A feature as it is made of a column of the record: ``values`` makes it of the column's."""

    column: str
    profile: FeatureProfile
    values: Callable[[Any], Any]


class TextReader:
    """Adds to a window's rows what is measured of their texts and images, as ``in_review: words``, and counts
    words.

    Args:
        texts: what each text or image is compared with.

    Attributes:
        counts: of each text input, so far.
    """

    def __init__(self, texts: Mapping[str, Medium]) -> None:
        self.texts = texts
        self.restart()

    def restart(self) -> None:
        """Forget what was counted."""
        self.counts = {name: WordCounts(frozenset(text.words)) for name, text in self._worded()}

    def read(self, rows: Columns) -> dict[str, Any]:
        """The rows with the measures in place of the texts."""
        plain = {name: values for name, values in rows.items() if name[3:] not in self.texts}
        for name, profile in self.texts.items():
            values = np.asarray(rows.get(f"in_{name}", np.full(len(rows["event_time"]), None, dtype=object)))
            found = (
                profile.measure(values, self.counts[name])
                if isinstance(profile, TextProfile)
                else profile.measure(values)
            )
            for measure, measured in found.items():
                plain[f"in_{measure_name(name, measure)}"] = measured
        return plain

    def as_references(self, measured: Profile) -> dict[str, Medium]:
        """What was read as what others are compared with; ``measured`` has the measures' distributions."""
        own = {name: _own_measures(name, one, measured) for name, one in self.texts.items()}
        words = {name: self.counts[name].as_reference(text, own[name]) for name, text in self._worded()}
        return {name: words.get(name, ImageProfile(measures=own[name])) for name in self.texts}

    def shifts(self) -> list[Shift]:
        """How the words of each text input differ from those of its reference."""
        return [words_shift(name, profile, self.counts[name]) for name, profile in self._worded()]

    def _worded(self) -> list[tuple[str, TextProfile]]:
        return [(name, one) for name, one in self.texts.items() if isinstance(one, TextProfile)]

    def knows(self, feature: str) -> bool:
        """Whether it is a text or an image, or a measure of one."""
        return any(
            feature == name or feature in {measure_name(name, one) for one in profile.measures.features}
            for name, profile in self.texts.items()
        )

    def find(self, feature: str, detail: Mapping[str, Any]) -> Read | None:
        """How a measure, or the word that changed most surely, is made of the record; None of other inputs.

        Args:
            detail: of the shift of the words.
        """
        for name, profile in self.texts.items():
            if feature == name and isinstance(profile, TextProfile):
                return _first_word(name, profile, detail)
            for measure in profile.measures.features:
                if feature == measure_name(name, measure):
                    return _measure(name, measure, profile)
        return None


def measure_name(column: str, measure: str) -> str:
    """What a measure of a column's texts is called among the inputs.

    >>> measure_name("review", "unknown words")
    'review: unknown words'
    """
    return f"{column}: {measure}"


def _own_measures(column: str, medium: Medium, profile: Profile) -> Profile:
    names = medium.measures.features
    return Profile(features={one: profile.features[measure_name(column, one)] for one in names})


def with_measures(inputs: Profile, texts: Mapping[str, Medium]) -> Profile:
    """The inputs with the measures of their texts, by the names that they have among them."""
    measures = {
        measure_name(name, measure): feature
        for name, profile in texts.items()
        for measure, feature in profile.measures.features.items()
    }
    return Profile(features=inputs.features | measures) if measures else inputs


def _measure(name: str, measure: str, profile: Medium) -> Read:
    feature = profile.measures.features[measure]
    return Read(f"in_{name}", feature, lambda values: profile.measure(values)[measure])


def _first_word(name: str, profile: TextProfile, detail: Mapping[str, Any]) -> Read | None:
    listed = [*detail["current"].get("more", ()), *detail["current"].get("less", ())]
    if not listed:
        return None
    word = min(listed, key=lambda one: one["p_value"])["word"]
    n_with = min(profile.words.get(word, 0), profile.n)
    feature = CategoricalProfile(counts={"yes": n_with, "no": profile.n - n_with}, n_missing=0)
    return Read(f"in_{name}", feature, lambda values: profile.has(values, word))
