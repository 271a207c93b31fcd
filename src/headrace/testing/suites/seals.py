"""What every store of the audit log's seals promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.errors import Conflict
from headrace.core.identity import Seal
from headrace.core.ports import SealStore
from headrace.testing.clock import START


class SealStoreSuite:
    """Fixture ``seals``: an empty store."""

    def test_seals_come_back_in_their_order(self, seals: SealStore) -> None:
        assert seals.last() is None
        assert seals.list() == []
        made = [_seal(number) for number in (1, 2, 3)]
        for seal in made:
            seals.add(seal)
        assert seals.list() == made
        assert seals.last() == made[-1]

    def test_a_seal_is_never_changed(self, seals: SealStore) -> None:
        seals.add(_seal(1))
        seals.add(_seal(1))
        with pytest.raises(Conflict, match="Seal 1 .* is another one"):
            seals.add(replace(_seal(1), hash="e" * 64))
        assert seals.list() == [_seal(1)]


def _seal(number: int) -> Seal:
    return Seal(
        number=number,
        sequence=number * 10,
        hash=f"{number:064x}",
        at=START,
        previous="" if number == 1 else f"{number - 1:064x}",
        signature="key:c2lnbmVk",
    )
