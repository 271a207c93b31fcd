"""Whose rules hold: the project's as it was declared last, with its workspace's key."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.core.errors import NotFound
from headrace.core.project import PrivacySpec
from headrace.testing import make_prediction, make_project
from tests.access.people import Door


def test_a_project_declared_anew_is_followed_at_once(door: Door, tmp_path: Path) -> None:
    asked = make_prediction(columns={"model": ["a4"]}, keys=["k"])
    door.store.projects.save(make_project(), str(tmp_path))
    assert door.access.privacy.rules("cars").prediction(asked) is asked
    spec = PrivacySpec(basis="contract", fields={"model": "drop"})
    door.store.projects.save(make_project(privacy=spec), str(tmp_path))
    door.store.epoch.advance()
    recorded = door.access.privacy.rules("cars").prediction(asked)
    assert recorded.columns == {}
    assert recorded.keys != ["k"]
    with pytest.raises(NotFound):
        door.access.privacy.rules("nothing")


def test_workspaces_hash_alike_nothing(door: Door) -> None:
    door.store.projects.save(make_project(name="here"), "", "main")
    door.store.projects.save(make_project(name="there"), "", "team")
    privacy = door.access.privacy
    assert privacy.keys.key("main", "hash") != privacy.keys.key("team", "hash")
    assert privacy.rules("here").hashed("m-1") != privacy.rules("there").hashed("m-1")
