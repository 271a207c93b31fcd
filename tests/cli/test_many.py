"""Commands about many projects at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.conftest import Cli, Ended


def test_a_selection_is_names_or_all(cli: Cli) -> None:
    for given in ((), ("cars", "--all")):
        assert "Name what you mean, or say --all" in cli("release", "rollback", *given).error


@pytest.mark.requirement("DEP-12")
def test_a_dry_run_says_what_would_become_of_each(full: Callable[..., Ended]) -> None:
    ended = full("release", "rollback", "--all", "--dry-run", "--json")
    assert {one["project"]: one["done"] for one in ended.json} == {"cars": True, "flight-delay": True}
    text = full("release", "rollback", "cars", "flight-*", "--dry-run").out
    assert "would stop the rollout: model:cars@1 answers" in text
    assert "would take back model:flight-delay@2: model:flight-delay@1 answers" in text
    own = full("release", "approve", "flight-*", "--dry-run")
    assert (own.code, "release.approve" in own.out, "1 of 1 could not be done" in own.error) == (
        2,
        True,
        True,
    )
    assert (
        "would approve model:flight-delay@4"
        in full("release", "approve", "--all", "--dry-run", "--as", "grace").out
    )
    assert "ALERTS" in full("model", "active").out
