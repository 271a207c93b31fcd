"""What every holder of data keys promises."""

from __future__ import annotations

import pytest

from headrace.core.errors import Unavailable
from headrace.core.ports import DataKeys


class DataKeysSuite:
    """Fixture ``keys``: keys under which what is called ``cars/...`` is encrypted."""

    def test_there_is_one_current_key_and_it_stays(self, keys: DataKeys) -> None:
        current = keys.current("cars/outcomes")
        assert current is not None
        assert len(bytes.fromhex(current)) == 8
        assert keys.current("cars/outcomes") == keys.current("cars/predictions") == current

    def test_each_place_has_a_key_of_its_own(self, keys: DataKeys) -> None:
        current = keys.current("cars/outcomes") or ""
        found = [keys.key("cars/outcomes", current, place) for place in ("one", "two", "one")]
        assert found[0] == found[2] != found[1]
        assert {len(key) for key in found} == {32}

    def test_a_key_that_is_not_there_is_named(self, keys: DataKeys) -> None:
        with pytest.raises(Unavailable, match="f{16}"):
            keys.key("cars/outcomes", "f" * 16, "one")
