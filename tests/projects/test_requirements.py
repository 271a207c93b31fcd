"""The pins of a project: everything that it needs, and nothing that contradicts it."""

from __future__ import annotations

from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from headrace.projects.requirements import pinned


def test_all_that_is_needed_is_pinned_to_what_is_installed() -> None:
    pins = {canonicalize_name(one.name): one for one in map(Requirement, pinned().splitlines()[1:])}
    assert {"headrace", "lightgbm", "onnxruntime", "pytest", "numpy"} <= set(pins)
    for name, pin in pins.items():
        (only,) = pin.specifier
        assert (only.operator, only.version) == ("==", version(name))
        for needed in map(Requirement, requires(name) or []):
            extras = ["", *pin.extras]
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                inner = pins[canonicalize_name(needed.name)]
                assert needed.specifier.contains(version(inner.name), prereleases=True)
                assert needed.extras <= inner.extras


def test_what_is_not_needed_is_not_pinned() -> None:
    text = pinned()
    assert "\nxgboost" not in text
    assert "\nmypy==" not in text


def test_what_is_not_installed_is_left_out() -> None:
    assert pinned(["no-such-package-at-all"]).count("\n") == 1
