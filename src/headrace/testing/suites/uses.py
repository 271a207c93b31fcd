"""What every store of uses promises."""

from __future__ import annotations

from datetime import timedelta

from headrace.core.identity import Use
from headrace.core.ports import UseStore
from headrace.testing.clock import START

_HOUR = timedelta(hours=1)


def _use(principal: str, action: str, hours: int = 0, count: int = 1) -> Use:
    at = START + hours * _HOUR
    return Use(
        principal=principal, action=action, resource="project:cars", count=count, first_at=at, last_at=at
    )


class UseStoreSuite:
    """Fixture ``uses``: an empty store."""

    def test_counts_add_up_and_times_widen(self, uses: UseStore) -> None:
        uses.add([_use("ann", "predict", 1, count=2), _use("ann", "predict", 3)])
        uses.add([_use("ann", "predict", 0, count=4)])
        (use,) = uses.list()
        assert (use.count, use.first_at, use.last_at) == (7, START, START + 3 * _HOUR)

    def test_each_principal_action_and_resource_counts_alone(self, uses: UseStore) -> None:
        uses.add([_use("ann", "predict", 1), _use("ann", "project.read", 2), _use("bob", "predict", 3)])
        assert [(use.principal, use.action) for use in uses.list()] == [
            ("bob", "predict"),
            ("ann", "project.read"),
            ("ann", "predict"),
        ]
        assert [use.principal for use in uses.list("bob")] == ["bob"]

    def test_nothing_used_is_nothing_kept(self, uses: UseStore) -> None:
        uses.add([])
        assert uses.list() == []
