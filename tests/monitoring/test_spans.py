"""Steps in a tree, whatever their parents are said to be; and traces that are searched for in the table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headrace.core.record import Span
from headrace.monitoring.spans import MOST_CHARACTERS, MOST_SPANS, Wanted, find, in_tree, search, span_rows
from headrace.store.records import Received
from headrace.store.tables import DeltaTables
from headrace.testing import START
from headrace.web.pages.traces import lines

TABLE = "desk/spans"


def span(number: int, parent: int | None = None, *, trace: int = 1, at_ms: int = 0) -> Span:
    started_at = START + timedelta(milliseconds=at_ms)
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=f"step {number}",
        started_at=started_at,
        ended_at=started_at + timedelta(milliseconds=5),
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 12))), max_size=12))
def test_each_step_is_drawn_once_and_below_its_parent(given_steps: list[tuple[int, int | None]]) -> None:
    spans = {number: span(number, parent, at_ms=number) for number, parent in given_steps}
    drawn = in_tree([(one, "ada") for one in spans.values()])
    assert sorted(step.span.span_id for step in drawn) == sorted(one.span_id for one in spans.values())
    above: list[str] = []
    for step in drawn:
        above = above[: step.depth]
        if step.depth:
            assert step.span.parent_id == above[-1]
        above.append(step.span.span_id)


def test_of_a_very_long_trace_the_first_steps_are_shown(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    n_spans = MOST_SPANS + 50
    spans = [span(1), *(span(number, 1, at_ms=number) for number in range(2, n_spans + 1))]
    tables.append(TABLE, span_rows([Received(START, "ada", one) for one in spans]))
    found = find(tables, TABLE, spans[0].trace_id)
    assert found is not None
    assert (found.n_spans, len(found.steps)) == (n_spans, MOST_SPANS)
    assert found.summary.duration_ms == n_spans + 5
    assert found.steps[1].span.name == "step 2"


def test_the_newest_traces_come_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    assert search(tables, TABLE, Wanted(), limit=5) == []
    assert find(tables, TABLE, "0" * 32) is None
    spans = [span(number, trace=number, at_ms=number) for number in range(1, 9)]
    tables.append(TABLE, span_rows([Received(START, "ada", one) for one in spans]))
    assert [one.name for one in search(tables, TABLE, Wanted(), limit=3)] == ["step 8", "step 7", "step 6"]


def test_of_a_trace_that_says_very_much_the_first_steps_are_shown(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    third = {f"text {n}": "x" * 250_000 for n in range(MOST_CHARACTERS // 3 // 250_000)}
    spans = [replace(span(number, at_ms=number), attributes=third) for number in range(1, 6)]
    tables.append(TABLE, span_rows([Received(START, "ada", one) for one in spans]))
    found = find(tables, TABLE, spans[0].trace_id)
    assert found is not None
    assert (found.n_spans, [step.span.name for step in found.steps]) == (5, ["step 1", "step 2", "step 3"])
    shown = lines(found)
    assert not shown[0].is_bare
    assert sum(line.n_characters for line in shown) < 3_000_000
