from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from headrace.core.alerts import Case, Notice, Period
from headrace.core.identity import Credential, Grant, Incident, PolicyText
from headrace.core.ports import RecordStore
from headrace.core.release import Review, Waiver
from headrace.store import Store
from headrace.store.drafts import Draft
from headrace.testing import START, RecordStoreSuite

_HOUR = timedelta(hours=1)
MORE: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "grants": (
        Grant,
        {
            "role": "operator",
            "resource": "project:cars",
            "reason": "night shift",
            "asked_by": "ann",
            "asked_at": START,
            "duration_s": 3600,
        },
    ),
    "credentials": (Credential, {"kind": "secret", "created_at": START, "expires_at": START + _HOUR}),
    "incidents": (
        Incident,
        {
            "kind": "flagged",
            "title": "odd",
            "raised_by": "ann",
            "at": START,
            "notes": ({"by": "ann", "text": "looked"},),
        },
    ),
    "policies": (
        PolicyText,
        {"version": 1, "text": "permit (principal, action, resource);", "digest": "d", "author": "ann"}
        | {"at": START},
    ),
    "waivers": (
        Waiver,
        {"rule": "gate:model", "reason": "launch", "size": "small", "asked_by": "ann", "asked_at": START}
        | {"ends_at": START + _HOUR},
    ),
    "notices": (Notice, {"channel": "ops", "alerts": ("a1", "a2"), "at": START, "due_at": START + _HOUR}),
    "cases": (
        Case,
        {"kind": "fairness", "at": START, "round": "r1", "notes": ({"by": "ann", "text": "looked"},)},
    ),
    "reviews": (
        Review,
        {"release_id": "r1", "digest": "d", "looked_at": "drift", "by": "ann", "at": START}
        | {"findings": ("f1",), "measurements": ("m1", "m2")},
    ),
    "periods": (
        Period,
        {"kind": "event", "title": "sale", "starts_at": START, "ends_at": START + _HOUR, "by": "ann"}
        | {"at": START},
    ),
}


@pytest.mark.parametrize("kept", list(MORE))
class TestSqlRecords(RecordStoreSuite):
    @pytest.fixture
    def records(self, store: Store, kept: str) -> RecordStore[Any]:
        records: RecordStore[Any] = getattr(store, kept)
        return records

    @pytest.fixture
    def make_record(self, kept: str) -> Callable[..., Any]:
        kind, more = MORE[kept]

        def make(id: str, workspace: str = "main", subject: str = "ann") -> Any:  # noqa: A002
            return kind(id=id, workspace=workspace, subject=subject, **more)

        return make


def test_a_part_of_many_is_read_and_all_are_counted(store: Store) -> None:
    kept = [
        store.drafts.add(
            Draft(
                id=f"d{number}", workspace="main", subject="bob" if number == 3 else "ann", release_id="r1",
                trace_id="t1", principal="uma", at=START, asked="", said="",
                state="approved" if number % 2 else "waiting",
            )
        )
        for number in range(9)
    ]  # fmt: skip
    waiting = [kept[number] for number in (0, 2, 4, 6, 8)]
    assert store.drafts.count_of("ann", ["waiting"]) == 5
    assert store.drafts.part("ann", ["waiting"], most=2) == waiting[:2]
    assert store.drafts.part("ann", ["waiting"], after=waiting[2].id, most=9) == waiting[3:]
    assert store.drafts.part("ann", ["waiting"], after=kept[7].id, most=2, newest=True) == [kept[6], kept[4]]
    assert store.drafts.part("ann", ["waiting", "approved"], most=9) == kept[:3] + kept[4:]
    assert store.drafts.part("eve", ["waiting"], most=9) == []
    assert store.drafts.count_of("ann", []) == 0
