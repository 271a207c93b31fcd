"""What waits for people is counted, whatever else is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from headrace.core.ids import new_id
from headrace.store import Store
from headrace.store.backlog import Backlog
from headrace.store.drafts import Draft
from headrace.store.handoffs import Handoff
from headrace.testing import START, FakeClock


def draft(record_id: str, subject: str) -> Draft:
    return Draft(
        id=record_id, workspace="main", subject=subject, release_id="r1", trace_id="t1", principal="uma",
        at=START, asked="[]", said="{}",
    )  # fmt: skip


def handoff(record_id: str, subject: str) -> Handoff:
    return Handoff(
        id=record_id, workspace="main", subject=subject, answer="a1", release_id="r1", trace_id=None,
        asked_by="uma", at=START,
    )  # fmt: skip


def test_drafts_that_wait_and_handoffs_that_nobody_has_taken_are_counted(
    store: Store, clock: FakeClock
) -> None:
    ids = [new_id(clock.now()) for _ in range(6)]
    for record_id in ids[:3]:
        store.drafts.add(draft(record_id, "support"))
    store.drafts.add(draft(ids[3], "sales"))
    store.drafts.change(replace(store.drafts.get(ids[0]), state="approved", revision=1))
    for record_id in ids[4:]:
        store.handoffs.add(handoff(record_id, "support"))
    store.handoffs.change(replace(store.handoffs.get(ids[5]), state="taken", revision=1))
    drafts, handoffs = store.backlog.waiting({"support", "quiet"})
    assert replace(drafts, last=0) == Backlog(kind="draft", subject="support", n=2, first=ids[1])
    assert replace(handoffs, last=0) == Backlog(kind="handoff", subject="support", n=1, first=ids[4])
    store.drafts.add(draft(new_id(clock.now()), "support"))
    assert store.backlog.waiting({"support"})[0].last > drafts.last
    assert store.backlog.waiting(set()) == []
    assert store.backlog.waiting({"quiet"}) == []


def test_since_when_is_what_the_oldest_id_says() -> None:
    one = Backlog(kind="draft", subject="support", n=1, first="017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    assert one.since == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert replace(one, first="d1").since is None
