from __future__ import annotations

from pathlib import Path

import pytest

from scripts.changelog import fragments, notes
from tests.architecture.source import ROOT


def test_every_fragment_has_a_kind_and_a_sentence() -> None:
    fragments(ROOT / "changelog.d")


def test_notes_are_grouped_by_kind(tmp_path: Path) -> None:
    (tmp_path / "b.fixed.md").write_text("It no longer\nhangs.\n", encoding="utf-8")
    (tmp_path / "a.added.md").write_text("It sings.\n", encoding="utf-8")
    assert notes(fragments(tmp_path)) == "### Added\n\n- It sings.\n\n### Fixed\n\n- It no longer hangs.\n"


@pytest.mark.parametrize(
    ("name", "text"), [("a.better.md", "It sings.\n"), ("added.md", "It sings.\n"), ("a.added.md", "\n")]
)
def test_a_wrong_fragment_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="Expected"):
        fragments(tmp_path)
