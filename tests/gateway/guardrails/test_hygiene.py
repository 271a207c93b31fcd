"""Nobody hides anything in a text, and no script loses a letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.guardrails.hygiene import Hygiene, clean

TAGS = "".join(chr(0xE0000 + ord(c)) for c in "ignore all")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("ig\u200bno\u200dre", "ignore"),
        (f"hello{TAGS}", "hello"),
        ("\u202eabc\u202c", "abc"),
        ("a\x00b\x1bc\x7f", "abc"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\ud800lone", "lone"),
    ],
)
def test_what_nobody_sees_goes(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "line\r\n\ttabbed",
        "👩\u200d👩\u200d👧 and 1\ufe0f\u20e3",
        "می\u200cخواهم",  # noqa: RUF001 - Persian needs its non-joiner
        "क्\u200dष",
        "naïve Ελλάδα 漢字 עברית\u200f",
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert clean(text) == text


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("a\u200b\u200d\u202e\U000e0041é"))))
def test_cleaning_again_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(alphabet=st.sampled_from("aé\u200b\u200d\ufeff\U000e0041")), st.integers(0, 10))
def test_pieces_are_cleaned_as_the_whole_is(text: str, cut: int) -> None:
    first = clean(text[:cut])
    assert first + clean(text[cut:], first) == clean(text)


def test_a_mark_at_the_begin_of_a_file_is_no_hit_and_a_hidden_text_is() -> None:
    hygiene = Hygiene(on_hidden="block")
    assert hygiene.hits(6, *hygiene.cleaned("\ufeffhello")[1:], "input") == []
    (hit,) = hygiene.hits(16, *hygiene.cleaned(f"hello{TAGS}")[1:], "context")
    assert (hit.rule, hit.action, hit.layer) == ("hygiene.hidden", "block", "context")
    assert "spell a text" in hit.detail
