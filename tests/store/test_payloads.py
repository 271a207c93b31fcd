from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InternalError
from headrace.store.payloads import Payloads


class _Keys:
    def __init__(self, current: str | None) -> None:
        self._current = current

    def current(self, name: str) -> str | None:
        return self._current

    def key(self, name: str, key_id: str, place: str) -> bytes:
        return hashlib.sha256(f"{name} {key_id} {place}".encode()).digest()


@given(st.text(), st.sampled_from([None, "00112233aabbccdd"]))
def test_what_is_sealed_opens_as_it_was(text: str, key_id: str | None) -> None:
    text = text.encode("utf-8", "replace").decode()
    payloads = Payloads(_Keys(key_id))
    kept = payloads.seal("cars", "prediction 1", text)
    assert payloads.open("cars", "prediction 1", kept) == text
    assert Payloads(_Keys(None)).open("cars", "prediction 1", kept) == text, "also after keys are off"
    if key_id is not None and len(text) > 8:
        assert text not in kept


def test_what_was_moved_or_altered_does_not_open() -> None:
    payloads = Payloads(_Keys("00112233aabbccdd"))
    kept = payloads.seal("cars", "prediction 1", "secret")
    for place, text in (("prediction 2", kept), ("prediction 1", f"{kept[:-8]}AAAAAAA=")):
        with pytest.raises(InternalError, match="was altered, or was written elsewhere"):
            payloads.open("cars", place, text)
