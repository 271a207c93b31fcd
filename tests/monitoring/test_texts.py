"""Text inputs are watched: their lengths, scripts and words, by the privacy rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from headrace.checks.profiles import Profile
from headrace.checks.texts import TextProfile
from headrace.core.project import Column, PrivacySpec, ReferenceDays
from headrace.monitoring.baseline import Baseline, make_baseline, text_profiles
from headrace.testing import START
from headrace.testing.memory import MemoryArtifacts
from headrace.training.features import FeatureStore
from tests.monitoring.traffic import LIVE, Scene, answer, day, named, watched_project

Make = Callable[..., Scene]
INPUTS = (Column(name="note", role="text"), Column(name="shop", role="categorical"))
SHOPS = np.array(["north", "south"], dtype=object)
USUAL = np.array("thanks for the quick help with my order it came on time all is fine".split(), dtype=object)


def notes(random: np.random.Generator, n: int, *, extra: str = "", share: float = 1.0) -> list[str]:
    """Texts of four to twelve usual words, of which ``share`` end with ``extra``."""
    made = [" ".join(random.choice(USUAL, random.integers(4, 13))) for _ in range(n)]
    return [f"{one} {extra}".strip() if random.random() < share else one for one in made]


def texts_baseline(
    random: np.random.Generator, recorded: Callable[[str, Any], Any] = lambda _, values: values
) -> Baseline:
    n = 1_500
    training = {
        "note": np.array(notes(random, n), dtype=object),
        "shop": random.choice(SHOPS, n),
    }
    texts = text_profiles(training, INPUTS, recorded)
    profile = Profile.fit(training, INPUTS)
    return make_baseline(profile, np.ones(n), np.ones(n), "mae", trained_until=None, texts=texts)


def reading(watched: Make, privacy: PrivacySpec | None = None) -> Scene:
    project = watched_project(shift=0.2)
    data = replace(project.data, columns=INPUTS)
    project = replace(project, data=data, privacy=privacy or PrivacySpec(basis="not_personal"))
    scene = watched(project)
    scene.baselines[LIVE] = texts_baseline(scene.random)
    return scene


def sent(scene: Scene, number: int, texts: Sequence[str | None], shops: Sequence[str] | None = None) -> None:
    given = list(shops) if shops is not None else scene.random.choice(SHOPS, len(texts)).tolist()
    columns: dict[str, list[Any]] = {"note": list(texts), "shop": given}
    scene.answered(
        [answer(f"d{number}", at=day(number), columns=columns, outputs={"predict": [1.0] * len(texts)})]
    )


@pytest.mark.requirement("MON-12")
def test_lengths_scripts_and_words_are_measured_in_every_window(watched: Make) -> None:
    scene = reading(watched)
    for number in range(8):
        sent(scene, number, notes(scene.random, 40))
    found = scene.watch()
    measured = {m.feature: m for m in named(found, "shift")}
    texts = {"note", "note: characters", "note: words", "note: unknown words", "note: script"}
    assert set(measured) == texts | {"shop", "prediction"}
    assert measured["note: words"].detail["statistics"]["mean"] == pytest.approx(8, abs=0.5)
    assert found.findings == []


@pytest.mark.requirement("MON-12", "MON-29")
def test_a_new_word_is_named_with_its_segment_and_start(watched: Make) -> None:
    """From the third day of the second week on, one shop's notes ask for a refund."""
    scene = reading(watched)
    for number in range(15):
        shops = scene.random.choice(SHOPS, 60)
        texts = np.array(notes(scene.random, 60), dtype=object)
        if number >= 9:
            texts = np.where(shops == "north", texts + " refund", texts)
        sent(scene, number, texts.tolist(), shops.tolist())
    found = {f.feature: f for f in scene.watch().findings}
    words = found["note"]
    assert words.kind == "data_drift"
    assert words.title.startswith("input 'note' uses other words: more 'refund' (0% of the rows, now ")
    assert "where shop is 'north'" in words.title
    assert words.evidence["began"] == day(9).isoformat()
    assert [one["word"] for one in words.evidence["more"]] == ["refund"]
    assert "note: unknown words" in found


@pytest.mark.requirement("MON-12")
@pytest.mark.parametrize(
    ("texts", "feature", "cause"),
    [
        (["ok"], "note: words", "sentinel"),
        (["спасибо большое за помощь"], "note: script", "new_categories"),
        ([None], "note: characters", "empty"),
    ],
)
def test_what_else_changes_in_texts_is_found(
    watched: Make, texts: list[str | None], feature: str, cause: str
) -> None:
    scene = reading(watched)
    for number in range(8):
        sent(scene, number, notes(scene.random, 10) + texts * 30)
    found = {f.feature: f for f in scene.watch().findings}
    assert feature in found
    assert found[feature].evidence["cause"] in (cause, "moved")


@pytest.mark.requirement("MON-12", "PRV-07")
@pytest.mark.parametrize("handling", ["mask", "hash", "drop"])
def test_no_word_of_a_column_that_is_not_recorded_as_it_comes_is_shown(watched: Make, handling: str) -> None:
    privacy = PrivacySpec(basis="consent", fields={"note": handling, "shop": "keep"})  # type: ignore[dict-item]
    scene = reading(watched, privacy)
    for number in range(8):
        sent(scene, number, notes(scene.random, 40, extra="refund"))
    found = scene.watch()
    assert {m.feature for m in named(found, "shift")} == {"shop", "prediction"}
    assert found.findings == []
    assert "refund" not in repr(found)


@pytest.mark.requirement("MON-12")
def test_the_reference_has_the_words_as_they_would_be_recorded() -> None:
    def masking(name: str, values: Any) -> Any:
        return ["gone" for _ in values] if name == "note" else values

    random = np.random.default_rng(0)
    hidden = texts_baseline(random, recorded=masking).texts["note"]
    assert isinstance(hidden, TextProfile)
    assert hidden.words == {"gone": 1_500}
    assert texts_baseline(random, recorded=lambda *_: None).texts == {}
    kept = texts_baseline(random)
    assert Baseline.from_bytes(kept.to_bytes(), FeatureStore(MemoryArtifacts())).texts == kept.texts


@pytest.mark.requirement("MON-12", "MON-24")
def test_words_are_compared_with_the_days_of_reference(watched: Make) -> None:
    """``refund`` has always come in production, and stops after the reference."""
    scene = reading(watched)
    days = [(START + timedelta(days=number)).date() for number in (0, 13)]
    monitors = replace(scene.project.monitors, reference=ReferenceDays(first_day=days[0], last_day=days[1]))
    scene.project = replace(scene.project, monitors=monitors)
    for number in range(29):
        sent(scene, number, notes(scene.random, 40, extra="refund" if number < 21 else ""))
    (found,) = [f for f in scene.watch().findings if f.feature == "note"]
    assert found.window[0] == START + timedelta(days=21)
    assert [one["word"] for one in found.evidence["less"]] == ["refund"]
    assert found.evidence["reference"].startswith("the 560 answers")


@pytest.mark.requirement("MON-12")
def test_false_alarms_of_texts_stay_within_the_budget(watched: Make) -> None:
    """Windows of unchanged texts: with a budget of 1 a quarter, 13 windows have about one finding at most."""
    scene = reading(watched)
    scene.project = replace(scene.project, monitors=replace(scene.project.monitors, shift=0.0))
    for number in range(7 * 13 + 1):
        sent(scene, number, notes(scene.random, 20))
    assert len(scene.watch().findings) <= 3
