"""Images of a window are watched by their size and brightness; the images themselves are not recorded."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headrace.access.privacy.fields import FieldRules
from headrace.checks.images import MEASURES, measure_image
from headrace.checks.profiles import Profile
from headrace.core.project import Column, PrivacySpec, ReferenceDays
from headrace.monitoring.baseline import Baseline, make_baseline, text_profiles
from headrace.testing import START
from headrace.testing.memory import MemoryArtifacts
from headrace.training.features import FeatureStore
from tests.monitoring.traffic import LIVE, Scene, answer, day, named, watched_project

Make = Callable[..., Scene]
INPUTS = (Column(name="photo", role="image"), Column(name="camera", role="categorical"))
CAMERAS = np.array(["north", "south"], dtype=object)


def photos(random: np.random.Generator, n: int, *, light: float = 1.0, width: int = 24) -> list[str]:
    """Grainy scenes of some light, as base64."""
    found = []
    for _ in range(n):
        scene = random.uniform(60, 120) + random.normal(0, random.uniform(10, 20), (16, width))
        kept = BytesIO()
        Image.fromarray((scene * light).clip(0, 255).astype(np.uint8)).save(kept, "PNG")
        found.append(base64.b64encode(kept.getvalue()).decode())
    return found


def watching(watched: Make, **privacy: Any) -> Scene:
    """A project that gets photographs, and what its release was trained on."""
    project = watched_project(shift=0.2)
    stated = PrivacySpec(basis="consent", fields={"camera": "keep", **privacy})
    scene = watched(replace(project, data=replace(project.data, columns=INPUTS), privacy=stated))
    training = {
        "photo": np.array(photos(scene.random, 800), dtype=object),
        "camera": scene.random.choice(CAMERAS, 800),
    }
    texts = text_profiles(training, INPUTS, rules(scene).column)
    profile = Profile.fit(training, INPUTS)
    scene.baselines[LIVE] = make_baseline(
        profile, np.ones(800), np.ones(800), "mae", trained_until=None, texts=texts
    )
    return scene


def rules(scene: Scene) -> FieldRules:
    return FieldRules(scene.project, b"key", measure=measure_image)


def sent(scene: Scene, number: int, images: list[Any], cameras: Any = None) -> None:
    given = scene.random.choice(CAMERAS, len(images)) if cameras is None else cameras
    columns: dict[str, list[Any]] = {"photo": images, "camera": given.tolist()}
    made = answer(f"d{number}", at=day(number), columns=columns, outputs={"predict": [1.0] * len(images)})
    scene.answered([rules(scene).prediction(made)])


@pytest.mark.requirement("MON-13")
def test_size_and_brightness_are_measured_in_every_window_and_no_image_is_recorded(watched: Make) -> None:
    scene = watching(watched)
    for number in range(8):
        sent(scene, number, photos(scene.random, 40))
    found = scene.watch()
    measures = {m.feature: m for m in named(found, "shift")}
    assert set(measures) == {f"photo: {name}" for name in MEASURES} | {"camera", "prediction"}
    assert measures["photo: width"].detail["statistics"]["mean"] == 24
    assert measures["photo: brightness"].detail["statistics"]["mean"] == pytest.approx(90 / 255, abs=0.03)
    assert found.findings == []
    made = answer("one", at=day(0), columns={"photo": photos(scene.random, 1)}, outputs={"predict": [1.0]})
    (kept,) = rules(scene).prediction(made).columns["photo"]
    assert kept.startswith('{"format":"png","bytes":')
    assert len(kept) < 200


@pytest.mark.requirement("MON-13", "MON-29")
def test_a_camera_that_gets_dark_is_found_with_its_name_and_day(watched: Make) -> None:
    scene = watching(watched)
    for number in range(15):
        cameras = scene.random.choice(CAMERAS, 60)
        images = [
            photos(scene.random, 1, light=0.6 if number >= 9 and one == "north" else 1.0)[0]
            for one in cameras
        ]
        sent(scene, number, images, cameras)
    found = {f.feature: f for f in scene.watch().findings}
    dark = found["photo: brightness"]
    assert dark.kind == "data_drift"
    assert "where camera is 'north'" in dark.title
    assert dark.evidence["began"] == day(9).isoformat()
    assert not {"photo: width", "photo: height", "photo: format", "camera"} & set(found)


@pytest.mark.requirement("MON-13")
@pytest.mark.parametrize(
    ("images", "feature"),
    [(None, "photo: width"), ("bm8gaW1hZ2U=", "photo: format"), ("", "photo: brightness")],
)
def test_what_else_changes_in_images_is_found(watched: Make, images: str | None, feature: str) -> None:
    scene = watching(watched)
    for number in range(8):
        other = photos(scene.random, 30, width=32) if images is None else [images] * 30
        sent(scene, number, photos(scene.random, 10) + other)
    assert feature in {f.feature for f in scene.watch().findings}


@pytest.mark.requirement("MON-13", "PRV-07")
def test_nothing_is_measured_of_images_that_are_dropped(watched: Make) -> None:
    scene = watching(watched, photo="drop")
    for number in range(8):
        sent(scene, number, photos(scene.random, 40, light=0.3))
    found = scene.watch()
    assert {m.feature for m in named(found, "shift")} == {"camera", "prediction"}
    assert found.findings == []


def test_images_that_are_kept_are_measured_when_they_are_watched(watched: Make) -> None:
    scene = watching(watched, photo="keep")
    for number in range(8):
        sent(scene, number, photos(scene.random, 40, light=0.6))
    assert "photo: brightness" in {f.feature for f in scene.watch().findings}
    kept = scene.baselines[LIVE]
    again = Baseline.from_bytes(kept.to_bytes(), FeatureStore(MemoryArtifacts())).texts["photo"]
    assert again.to_dict() == kept.texts["photo"].to_dict()


def test_images_are_compared_with_the_days_of_reference(watched: Make) -> None:
    """Production has always been darker than training, and gets as bright after the reference."""
    scene = watching(watched)
    days = [(START + timedelta(days=number)).date() for number in (0, 13)]
    monitors = replace(scene.project.monitors, reference=ReferenceDays(first_day=days[0], last_day=days[1]))
    scene.project = replace(scene.project, monitors=monitors)
    for number in range(29):
        sent(scene, number, photos(scene.random, 40, light=0.6 if number < 21 else 1.0))
    (found,) = [f for f in scene.watch().findings if f.feature == "photo: brightness"]
    assert found.window[0] == START + timedelta(days=21)


@pytest.mark.requirement("MON-13")
def test_false_alarms_of_images_stay_within_the_budget(watched: Make) -> None:
    """Unchanged images: with a budget of 1 a quarter, 13 windows have about one finding at most."""
    scene = watching(watched)
    scene.project = replace(scene.project, monitors=replace(scene.project.monitors, shift=0.0))
    for number in range(7 * 13 + 1):
        sent(scene, number, photos(scene.random, 20))
    assert len(scene.watch().findings) <= 3
