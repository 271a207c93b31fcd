"""Answers that are given again: bounded, and never too old, from before an erasure or of another model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.llm import cached
from headrace.gateway.llm.cached import AnswerCache, Asking, Place
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.upstream import Reply
from headrace.projects.llm import Cache
from headrace.testing import FakeClock

SMALL, LARGE = Target.parse("local/small"), Target.parse("local/large")


def place(key: bytes = b"k", entries: int = 3, project: str = "support") -> Place:
    return Place(project, key, Cache(entries=entries, ttl_s=60.0))


def reply(body: bytes = b"{}") -> Reply:
    return Reply(200, {}, body, SMALL)


def test_an_answer_is_given_again_until_it_is_too_old() -> None:
    clock = FakeClock()
    cache = AnswerCache(clock, lambda _: 0.0)
    assert cache.find(place(), [SMALL]) is None
    cache.keep(place(), reply(), 1.0)
    clock.advance(59)
    assert cache.find(place(), [LARGE, SMALL]) == reply()
    assert cache.find(place(project="sales"), [SMALL]) is None
    clock.advance(1)
    assert cache.find(place(), [SMALL]) is None
    assert cache.counts() == {
        Asking("support", "miss"): 2,
        Asking("support", "hit"): 1,
        Asking("sales", "miss"): 1,
    }


def test_one_of_a_model_that_may_answer_no_more_is_not_given() -> None:
    cache = AnswerCache(FakeClock(), lambda _: 0.0)
    cache.keep(place(), reply(), 1.0)
    assert cache.find(place(), [LARGE]) is None
    assert cache.find(place(), [SMALL]) is None, "it is gone"


def test_one_from_before_an_erasure_is_not_given() -> None:
    erased = {"support": 0.0}
    cache = AnswerCache(FakeClock(), lambda project: erased[project])
    cache.keep(place(b"before"), reply(), 5.0)
    erased["support"] = 5.0
    cache.keep(place(b"asked before, answered after"), reply(), 4.9)
    cache.keep(place(b"after"), reply(), 5.1)
    found = [
        key
        for key in (b"before", b"asked before, answered after", b"after")
        if cache.find(place(key), [SMALL])
    ]
    assert found == [b"after"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 90)), max_size=60))
def test_it_never_keeps_more_than_it_may(asked: list[tuple[str, int, int]]) -> None:
    cache = AnswerCache(FakeClock(), lambda _: 0.0)
    newest: dict[tuple[str, int], bytes] = {}
    for project, key, size in asked:
        body = b"x" * size
        cache.keep(place(bytes([key]), 3, project), reply(body), 1.0)
        newest[project, key] = body
    kept = [
        (project, key, found.body)
        for project, key in newest
        if (found := cache.find(place(bytes([key]), 3, project), [SMALL]))
    ]
    assert all(sum(one[0] == project for one in kept) <= 3 for project in "ab")
    assert all(newest[project, key] == body for project, key, body in kept)


def test_very_long_ones_are_not_kept_and_all_together_stay_within_memory() -> None:
    cache = AnswerCache(FakeClock(), lambda _: 0.0)
    cache.keep(place(b"long"), reply(b"x" * ((1 << 20) + 1)), 1.0)
    assert cache.find(place(b"long"), [SMALL]) is None
    body = b"x" * (1 << 20)
    n = cached.MOST_BYTES // len(body) + 5
    for number in range(n):
        cache.keep(place(b"%d" % number, entries=1000), reply(body), 1.0)
    held = [number for number in range(n) if cache.find(place(b"%d" % number, entries=1000), [SMALL])]
    assert held == list(range(5, n)), "the oldest go first"


@pytest.mark.parametrize("project", ["support", "sales"])
def test_what_is_kept_again_replaces_what_was(project: str) -> None:
    cache = AnswerCache(FakeClock(), lambda _: 0.0)
    for body in (b"one", b"two"):
        cache.keep(place(project=project), reply(body), 1.0)
    found = cache.find(place(project=project), [SMALL])
    assert found is not None
    assert found.body == b"two"
