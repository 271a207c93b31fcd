"""One source of chance per test, so that the order of tests does not matter."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def random() -> np.random.Generator:
    """Seeded afresh for each test."""
    return np.random.default_rng(0)
