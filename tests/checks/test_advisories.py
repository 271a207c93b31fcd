from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.checks.advisories import Flaw, known_flaws
from headrace.core.errors import InvalidInput


def _advisory(id: str = "PYSEC-1", name: str = "Some.Package", **affected: Any) -> dict[str, Any]:  # noqa: A002
    one = {"package": {"ecosystem": "PyPI", "name": name}} | affected
    return {"id": id, "modified": "2026-10-01T00:00:00Z", "summary": "It leaks.", "affected": [one]}


def _range(*events: dict[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"ranges": [{"type": kind, "events": list(events)}]}


def _flaws(tmp_path: Path, advisory: Any, version: str) -> tuple[Flaw, ...]:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(advisory))
    return known_flaws(path, {"some-package": version}).flaws


@pytest.mark.parametrize(
    ("affected", "hit", "missed"),
    [
        ({"versions": ["1.0", "1.1"]}, ["1.0", "1.1"], ["1.2", "1.0.1"]),
        (_range({"introduced": "0"}, {"fixed": "1.10"}), ["0.1", "1.9"], ["1.10", "2.0"]),
        (_range({"introduced": "1.5"}, {"last_affected": "2.0"}), ["1.5", "2.0"], ["1.4", "2.0.1"]),
        (_range({"introduced": "1.0"}), ["1.0", "9"], ["0.9"]),
        (_range({"fixed": "1.2"}, {"introduced": "1.0"}, {"introduced": "2.0"}, {"fixed": "2.1"}),
         ["1.1", "2.0"], ["0.9", "1.2", "1.9", "2.1"]),
        (_range({"introduced": "0"}, {"fixed": "abc"}, kind="GIT"), [], ["1.0"]),
        (_range({"introduced": "1.0a1"}, {"fixed": "1.0"}), ["1.0b2"], ["1.0", "0.9"]),
    ],
)  # fmt: skip
def test_versions_are_in_a_range_or_not(
    tmp_path: Path, affected: dict[str, Any], hit: list[str], missed: list[str]
) -> None:
    for version in hit:
        assert [one.id for one in _flaws(tmp_path, _advisory(**affected), version)] == ["PYSEC-1"], version
    for version in missed:
        assert _flaws(tmp_path, _advisory(**affected), version) == (), version


@given(st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True), st.integers(0, 9))
def test_a_range_is_what_an_oracle_says(ends: list[int], at: int) -> None:
    from packaging.version import Version

    from headrace.checks.advisories import _in_range

    low, high = sorted(ends)
    events = [{"introduced": f"1.{low}"}, {"fixed": f"1.{high}"}]
    assert _in_range(events, Version(f"1.{at}")) == (low <= at < high)
    assert _in_range(events[::-1], Version(f"1.{at}")) == (low <= at < high)


def test_a_flaw_says_where_it_is_mended_and_others_are_passed_over(tmp_path: Path) -> None:
    hit = _advisory(**_range({"introduced": "0"}, {"fixed": "1.2"}))
    withdrawn = _advisory("W", **_range({"introduced": "0"})) | {"withdrawn": "2026-01-01T00:00:00Z"}
    other = _advisory("N", **_range({"introduced": "0"}))
    other["affected"][0]["package"]["ecosystem"] = "npm"
    (flaw,) = _flaws(tmp_path, [hit, withdrawn, other], "1.1")
    assert flaw == Flaw(
        id="PYSEC-1", package="some-package", version="1.1", summary="It leaks.", fixed=("1.2",)
    )


def test_a_folder_and_a_zip_hold_many(tmp_path: Path) -> None:
    folder = tmp_path / "advisories"
    folder.mkdir()
    for index in range(3):
        text = json.dumps(_advisory(f"PYSEC-{index}", versions=["1.0"]))
        (folder / f"{index}.json").write_text(text)
    packed = tmp_path / "all.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    for path in (folder, packed):
        found = known_flaws(path, {"some-package": "1.0"})
        assert [one.id for one in found.flaws] == ["PYSEC-0", "PYSEC-1", "PYSEC-2"]
        assert (found.n_advisories, found.newest) == (3, "2026-10-01T00:00:00Z")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"{", "is no JSON"),
        (b"[{}]", "without an id"),
        (b"[]", "holds no advisories"),
    ],
)
def test_what_is_no_advisory_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "one.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        known_flaws(path, {})
    broken = tmp_path / "all.zip"
    broken.write_bytes(b"no zip")
    with pytest.raises(InvalidInput, match="cannot be read"):
        known_flaws(broken, {})


def test_an_advisory_that_is_too_large_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "all.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("small.json", json.dumps(_advisory("A", versions=["1.0"])))
        archive.writestr(
            "large.json", json.dumps(_advisory("B", versions=["1.0"]) | {"details": "x" * 5_000})
        )
    monkeypatch.setattr("headrace.checks.advisories._LARGEST_ENTRY", 5_000)
    with pytest.raises(InvalidInput, match=r"large\.json in .*at most 5,000"):
        known_flaws(packed, {"some-package": "1.0"})
