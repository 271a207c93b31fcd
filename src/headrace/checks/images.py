"""What is measured of images: their size, brightness, contrast and sharpness."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import is_missing
from headrace.checks.distributions import Kind
from headrace.checks.profiles import Profile
from headrace.core.errors import Unavailable
from headrace.core.ports import Columns
from headrace.core.project import Column

if TYPE_CHECKING:
    from PIL.Image import Image

MEASURES: dict[str, Kind] = {
    "format": "categorical",
    "bytes": "numeric",
    "width": "numeric",
    "height": "numeric",
    "brightness": "numeric",
    "contrast": "numeric",
    "sharpness": "numeric",
}
"""What each image is measured by. Width and height are in pixels; brightness and contrast are the mean and
the standard deviation of its grey values, black being 0 and white 1; sharpness is the standard deviation of
their Laplacian, of 1,024 by 1,024 pixels in the middle at most."""
UNREADABLE = "unreadable"
"""The format of what is no image, is damaged, or has more than 50 million pixels."""
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MOST_PIXELS = 50_000_000
_MIDDLE = 1_024
_MEASURED = '{"format":'


def measure_image(value: Any) -> str | None:
    """The measures of an image as JSON, to be recorded in its place; None where there is none.

    Args:
        value: its bytes, or base64 of them, also as a ``data:`` URL.

    Raises:
        Unavailable: Pillow is not installed.

    >>> measure_image("bm8gaW1hZ2U=")
    '{"format":"unreadable","bytes":8}'
    """
    if is_missing(value):
        return None
    return json.dumps(_measures(value), separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class ImageProfile:
    """One column of images: how each of :data:`MEASURES` is distributed, by its name."""

    measures: Profile

    @classmethod
    def fit(cls, values: NDArray[Any]) -> ImageProfile:
        """Profile images, or what is recorded of them, ``(n_rows,)``."""
        specs = [Column(name=name, role=kind) for name, kind in MEASURES.items()]
        return cls(measures=Profile.fit(measured(values), specs))

    def measure(self, values: NDArray[Any]) -> Columns:
        """:data:`MEASURES` of other images, each ``(n_rows,)``."""
        return measured(values)

    def to_dict(self) -> dict[str, Any]:
        """A JSON form; :meth:`from_dict` reads it."""
        return {"measures": self.measures.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageProfile:
        """The profile that :meth:`to_dict` wrote."""
        return cls(measures=Profile.from_dict(data["measures"]))


def measured(values: NDArray[Any]) -> Columns:
    """:data:`MEASURES` of images, or of what :func:`measure_image` made of them, each ``(n_rows,)``."""
    rows = [_found(value) for value in values.tolist()]
    return {
        name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
        if kind == "numeric"
        else np.array([row.get(name) for row in rows], dtype=object)
        for name, kind in MEASURES.items()
    }


def _found(value: Any) -> Mapping[str, Any]:
    if is_missing(value):
        return {}
    if isinstance(value, str) and value.startswith(_MEASURED):
        found: Mapping[str, Any] = json.loads(value)
        return found
    return _measures(value)


def _measures(value: Any) -> dict[str, Any]:
    pillow = _pillow()
    data = _bytes(value)
    found: dict[str, Any] = {"format": UNREADABLE, "bytes": len(data)}
    try:
        with pillow.open(BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                return found
            grey = _grey(image)
            kind = str(image.format).lower()
    except (OSError, ValueError, SyntaxError, EOFError, pillow.DecompressionBombError):
        return found
    numbers = {
        "width": grey.shape[1],
        "height": grey.shape[0],
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": _sharpness(grey),
    }
    return found | {"format": kind} | numbers


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    text = str(value)
    text = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "surrogatepass")


def _grey(image: Image) -> NDArray[np.float32]:
    """Grey values from 0 to 1, ``(height, width)``; images of 16 bits a pixel keep them."""
    if image.mode.startswith("I;16"):
        return np.asarray(image, dtype=np.float32) / np.float32(65_535)
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def _sharpness(grey: NDArray[np.float32]) -> float:
    top, left = (max(0, (n - _MIDDLE) // 2) for n in grey.shape)
    part = grey[top : top + _MIDDLE, left : left + _MIDDLE]
    if min(part.shape) < 3:
        return 0.0
    around = part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:]
    return float((around - 4 * part[1:-1, 1:-1]).std())


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unavailable(
            "Images are measured with Pillow. Install it: pip install 'headrace[image]'"
        ) from error
    return Image
