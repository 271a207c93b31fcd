from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.architecture.source import forget


@pytest.fixture(scope="package", autouse=True)
def _forgotten() -> Iterator[None]:
    """The source tree is read once for all rules, and takes no room in the tests that follow."""
    yield
    forget()
