from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.llm.retrying import AGAIN, Retrying, told_s

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(n_failed=st.integers(1, 2000), told=st.none() | st.floats(0, 1e9), drawn=st.floats(0, 1))
def test_a_wait_is_bounded_and_never_shorter_than_what_was_told(
    n_failed: int, told: float | None, drawn: float
) -> None:
    retrying = Retrying(most=1500)
    wait_s = retrying.wait_s(n_failed, told, drawn)
    if n_failed > retrying.most or (told or 0) > retrying.most_told_s:
        assert wait_s is None
    else:
        assert wait_s is not None
        assert (told or 0) <= wait_s <= max(retrying.most_s, retrying.most_told_s * 1.1)


def test_waits_without_a_word_grow_and_begin_at_nothing() -> None:
    retrying = Retrying(most=4, base_s=1.0, most_s=5.0)
    assert [retrying.wait_s(n, None, 1.0) for n in range(1, 6)] == [1.0, 2.0, 4.0, 5.0, None]
    assert retrying.wait_s(4, None, 0.0) == 0.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:20 GMT"}, 20.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Thu, 01 Jan 99999 00:00:20 GMT"}, None),
    ],
)
def test_what_a_provider_says_is_read_in_each_form(headers: dict[str, str], seconds: float | None) -> None:
    assert told_s(headers, _NOW) == seconds


def test_nothing_that_was_refused_for_what_it_is_comes_again() -> None:
    assert {status for status in AGAIN if 400 <= status < 500} == {408, 409, 429}
