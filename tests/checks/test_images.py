"""Images are measured: real photographs, made darker, blurred, cut, damaged."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from headrace.checks.drift import Profile, shifts
from headrace.checks.images import MEASURES, ImageProfile, measure_image, measured
from headrace.core.project import Column

PHOTOS = Path(pytest.importorskip("sklearn").__file__).parent / "datasets" / "images"


def photo(name: str = "china.jpg") -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def encoded(image: Image.Image, kind: str = "PNG") -> str:
    kept = BytesIO()
    image.save(kept, kind)
    return base64.b64encode(kept.getvalue()).decode()


def column(*values: Any) -> Any:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def one(value: Any) -> dict[str, Any]:
    return {name: found[0] for name, found in measured(column(value)).items()}


def test_grey_values_are_those_of_the_pixels() -> None:
    pixels = np.zeros((30, 20), dtype=np.uint8)
    pixels[:, 10:] = 255
    found = one(encoded(Image.fromarray(pixels)))
    assert (found["format"], found["width"], found["height"]) == ("png", 20, 30)
    assert (found["brightness"], found["contrast"]) == (pytest.approx(0.5), pytest.approx(0.5))
    # One column of the 18 inside is darker than its neighbours by one, another brighter.
    assert found["sharpness"] == pytest.approx((2 / 18) ** 0.5)
    deep = Image.fromarray(pixels.astype(np.uint16) * 257)
    assert one(encoded(deep))["brightness"] == pytest.approx(0.5), "16 bits a pixel"


@pytest.mark.requirement("MON-13")
@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_each_measure_follows_what_it_is_named_after(name: str) -> None:
    data = (PHOTOS / name).read_bytes()
    plain = one(data)
    assert (plain["format"], plain["bytes"], plain["width"], plain["height"]) == ("jpeg", len(data), 640, 427)
    image = photo(name)
    grey = np.asarray(image.convert("L"), dtype=np.float64) / 255
    assert plain["brightness"] == pytest.approx(grey.mean(), abs=1e-3)
    assert plain["contrast"] == pytest.approx(grey.std(), abs=1e-3)
    dark = one(encoded(ImageEnhance.Brightness(image).enhance(0.5)))
    assert dark["brightness"] == pytest.approx(plain["brightness"] / 2, rel=0.02)
    flat = one(encoded(ImageEnhance.Contrast(image).enhance(0.5)))
    assert flat["contrast"] == pytest.approx(plain["contrast"] / 2, rel=0.03)
    assert flat["brightness"] == pytest.approx(plain["brightness"], rel=0.02)
    blurred = one(encoded(image.filter(ImageFilter.GaussianBlur(2))))
    assert blurred["sharpness"] < plain["sharpness"] / 4
    assert blurred["brightness"] == pytest.approx(plain["brightness"], rel=0.02)
    small = one(encoded(image.resize((64, 43))))
    assert (small["width"], small["height"]) == (64, 43)


def test_bytes_base64_and_data_urls_are_the_same_image() -> None:
    text = encoded(photo().resize((32, 32)))
    found = measure_image(text)
    assert found == measure_image(base64.b64decode(text)) == measure_image(f"data:image/png;base64,{text}")
    assert list(json.loads(found or "")) == list(MEASURES)
    assert one(found) == one(text), "what is recorded says the same as the image"


@pytest.mark.parametrize("value", ["", "no image", "bm8gaW1hZ2U=", "ä", b"\x89PNG\r\n\x1a\n", '{"form'])
def test_what_is_no_image_is_unreadable_and_never_an_error(value: Any) -> None:
    found = one(value)
    assert found["format"] == "unreadable"
    assert np.isnan(found["brightness"])


def test_a_profile_is_read_as_it_was_written() -> None:
    profile = ImageProfile.fit(crops(np.random.default_rng(1), 30))
    again = ImageProfile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert again.to_dict() == profile.to_dict()
    assert again.measures.kinds == MEASURES


def test_damaged_and_missing_images() -> None:
    data = base64.b64decode(encoded(photo()))
    assert one(data[: len(data) // 2])["format"] == "unreadable"
    assert measure_image(None) is None
    assert one(None)["format"] is None
    vast = encoded(Image.new("1", (8_000, 7_000)))
    assert one(vast)["format"] == "unreadable", "56 million pixels are not decoded"


def crops(random: np.random.Generator, n: int, light: float = 1.0) -> Any:
    """Parts of a photograph, each in its own light."""
    image, found = photo("flower.jpg"), []
    for _ in range(n):
        left, top = (int(random.integers(0, most)) for most in (640 - 48, 427 - 48))
        part = image.crop((left, top, left + 48, top + 48))
        part = ImageEnhance.Brightness(part).enhance(light * random.uniform(0.8, 1.2))
        found.append(encoded(part, "BMP"))
    return column(*found)


@pytest.mark.requirement("MON-13")
def test_a_change_of_light_is_found_as_often_as_declared_and_no_change_is_not() -> None:
    """400 windows of 60 images, each with a reference of its own: at a level of 1 %, brightness, contrast and
    sharpness are found no more often where nothing has changed; light that is a third less, nearly always."""
    random = np.random.default_rng(5)
    usual, dim = measured(crops(random, 2_000)), measured(crops(random, 1_000, 0.67))

    def found(measure: str, now: Any) -> float:
        alarms = 0
        for _ in range(400):
            order = random.permutation(2_000)
            spec = [Column(name=measure, role=MEASURES[measure])]
            reference = Profile.fit({measure: usual[measure][order[:600]]}, spec)
            window = (
                usual[measure][order[600:660]] if now is None else now[measure][order[order < 1_000][:60]]
            )
            (shift,) = shifts(reference, {measure: window})
            alarms += shift.p_value is not None and shift.p_value <= 0.01
        return alarms / 400

    for measure in ("brightness", "contrast", "sharpness"):
        assert found(measure, None) <= 0.025, measure
    assert found("width", None) == found("width", dim) == 0
    assert found("brightness", dim) >= 0.95
