"""Changes of a text, line by line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.web.pages.differences import changes

TEXTS = st.lists(st.sampled_from(["", "a", "b", "c", "permit"]), max_size=30).map("\n".join)


@given(TEXTS, TEXTS, st.integers(0, 4))
def test_what_is_shown_turns_the_one_text_into_the_other(before: str, after: str, context: int) -> None:
    old, new = before.splitlines(), after.splitlines()
    groups = changes(before, after, context)
    shown = [line for group in groups for line in group]
    assert all(old[line.before - 1] == line.text for line in shown if line.before is not None)
    assert all(new[line.after - 1] == line.text for line in shown if line.after is not None)
    removed = {line.before for line in shown if line.kind == "removed"}
    added = {line.after: line.text for line in shown if line.kind == "added"}
    kept = iter([line for number, line in enumerate(old, 1) if number not in removed])
    rebuilt = [added[number] if number in added else next(kept) for number in range(1, len(new) + 1)]
    assert rebuilt == new
    assert list(kept) == []
    assert (groups == []) == (old == new)


def test_each_change_has_some_lines_around_it() -> None:
    text = "\n".join(str(number) for number in range(100))
    (first, second) = changes(text, text.replace("20", "x").replace("70", "y"))
    assert [line.text for line in first] == ["17", "18", "19", "20", "x", "21", "22", "23"]
    assert [(line.before, line.after) for line in second][3:5] == [(71, None), (None, 71)]
