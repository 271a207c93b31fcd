from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.small import Site, site


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A home for the projects of a module's tests: each makes its own."""
    with site(tmp_path_factory.mktemp("shared")) as found:
        yield found
