from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.llm.breaker import CLOSED, Breaker, Rule

_RULE = Rule(failures=3, wait_s=4.0, most_wait_s=10.0)
_STEPS = st.lists(st.tuples(st.sampled_from(["ask", "fail", "answer"]), st.floats(0, 8)), max_size=40)


@given(_STEPS)
def test_whatever_happens_it_is_asked_again_and_never_too_often(steps: list[tuple[str, float]]) -> None:
    breaker, now_s, n_failed = CLOSED, 0.0, 0
    last_asked_s: float | None = None
    for what, after_s in steps:
        now_s += after_s
        if what == "answer":
            breaker, n_failed, last_asked_s = breaker.answered(), 0, None
        elif what == "fail":
            breaker, n_failed = breaker.failed(now_s, _RULE), n_failed + 1
        elif breaker.allows(now_s):
            if breaker.is_open:
                assert last_asked_s is None or now_s - last_asked_s >= _RULE.wait_s
                last_asked_s = now_s
            breaker = breaker.asked(now_s, _RULE)
        assert breaker.is_open == (n_failed >= _RULE.failures)
        assert breaker.allows(now_s + _RULE.most_wait_s)
        assert breaker.until_s <= now_s + _RULE.most_wait_s


def _failed(*moments_s: float) -> Breaker:
    breaker = CLOSED
    for moment_s in moments_s:
        breaker = breaker.failed(moment_s, _RULE)
    return breaker


@pytest.mark.requirement("GRD-12")
def test_it_opens_after_failures_in_a_row_only() -> None:
    assert not _failed(0, 0).is_open
    assert not _failed(0, 0).answered().failed(0, _RULE).failed(0, _RULE).is_open
    assert _failed(0, 0, 0).is_open


def test_each_failed_try_doubles_the_wait_up_to_a_limit() -> None:
    breaker = _failed(0, 0, 0)
    for wait_s in (4.0, 8.0, 10.0, 10.0):
        now_s = breaker.until_s
        assert not breaker.allows(now_s - 0.001)
        breaker = breaker.asked(now_s, _RULE)
        assert breaker.until_s == now_s + wait_s
        breaker = breaker.failed(now_s, _RULE)


def test_calls_that_were_under_way_as_it_opened_change_nothing() -> None:
    breaker = _failed(0, 0, 0)
    assert breaker.failed(1.0, _RULE) == breaker


def test_a_try_that_nobody_hears_of_blocks_nothing() -> None:
    breaker = _failed(0, 0, 0).asked(4.0, _RULE)
    assert (breaker.allows(5.0), breaker.allows(8.0)) == (False, True)


def test_an_answer_closes_it() -> None:
    assert _failed(0, 0, 0).asked(4.0, _RULE).answered() == CLOSED
