"""Uses of rights are counted until they are written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headrace.access.uses import Uses
from headrace.core.errors import Unavailable
from headrace.core.identity import Use
from headrace.testing import FakeClock


class _Store:
    """Implements ``UseStore``, and may not answer."""

    def __init__(self) -> None:
        self.added: list[Use] = []
        self.answers = True

    def add(self, uses: Sequence[Use]) -> None:
        if not self.answers:
            raise Unavailable("The store does not answer.")
        self.added += uses

    def list(self, principal: str | None = None) -> list[Use]:
        return [one for one in self.added if principal in (None, one.principal)]


def test_what_cannot_be_written_is_written_the_next_time() -> None:
    store = _Store()
    uses = Uses(store, FakeClock())
    uses.note("ada", "predict", "project:cars", 2)
    store.answers = False
    with pytest.raises(Unavailable):
        uses.flush()
    uses.note("ada", "predict", "project:cars")
    store.answers = True
    uses.flush()
    uses.flush()
    assert [(one.principal, one.action, one.count) for one in store.added] == [("ada", "predict", 3)]
