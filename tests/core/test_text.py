from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.text import printable

_BREAKS = {"\r", "\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"}


@pytest.mark.requirement("IDN-10")
@given(st.text())
def test_nothing_printed_moves_the_cursor_or_begins_a_line(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in _BREAKS for c in shown)
    assert not set(shown) & {"\u202e", "\u200b", "\ufeff"}
    shown.encode()


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_lines_of_our_own_are_kept() -> None:
    assert printable("a\n\tb\x1b[0m", lines=True) == "a\n\tb\\x1b[0m"
