from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.plugins.kafka_window import Window


def test_what_has_ended_before_all_else_is_the_offset() -> None:
    window = Window(5)
    assert (window.low, window.text(), window.n_ended) == (5, "", 0)
    assert [window.give(offset) for offset in (5, 6, 6, 8)] == [1, 1, 2, 1]
    assert window.text() == "bcab"
    window.end(6)
    assert (window.low, window.text(), window.n_ended) == (5, "bxab", 1)
    window.end(5)
    assert (window.low, window.text(), window.n_ended) == (7, "ab", 0)
    window.take_back(8)
    assert window.text() == ""


def test_runs_are_short() -> None:
    window = Window(0)
    for offset in range(1, 5000):
        window.end(offset)
    assert window.text() == "ax4999"


_STEPS = st.lists(st.tuples(st.sampled_from(("give", "end")), st.integers(0, 60)), max_size=80)


@given(st.integers(0, 10**12), _STEPS)
def test_what_is_kept_is_what_it_was(low: int, steps: list[tuple[str, int]]) -> None:
    window, ended, given_away = Window(low), set[int](), dict[int, int]()
    for step, place in steps:
        offset = low + place
        if step == "end":
            window.end(offset)
            ended.add(offset)
        elif offset not in ended:
            window.give(offset)
            given_away[offset] = given_away.get(offset, 0) + 1
    again = Window(window.low, window.text())
    assert again.text() == window.text()
    assert again.n_ended == window.n_ended
    for offset in range(low, low + 62):
        assert window.has_ended(offset) == again.has_ended(offset) == (offset in ended)
        if offset not in ended:
            assert again.give(offset) == min(given_away.get(offset, 0), 22) + 1
