from __future__ import annotations

from pathlib import Path

import pytest

from headrace.access.privacy.data_keys import ProjectKeys
from headrace.core.errors import NotFound, Unavailable
from headrace.core.project import PrivacySpec, Project
from headrace.testing import DataKeysSuite, FakeClock, MemoryEpoch, make_project

ID_DIGITS = 16


class Declared:
    """Projects that say whether they want their data encrypted."""

    def __init__(self) -> None:
        self.specs = {"cars": PrivacySpec(basis="consent"), "parts": PrivacySpec(basis="not_personal")}

    def get(self, name: str) -> Project:
        if name not in self.specs:
            raise NotFound(f"There is no project {name!r}.")
        return make_project(name=name, privacy=self.specs[name])


@pytest.fixture
def declared() -> Declared:
    return Declared()


@pytest.fixture
def epoch() -> MemoryEpoch:
    return MemoryEpoch()


def keys_of(folder: Path, declared: Declared, epoch: MemoryEpoch) -> ProjectKeys:
    return ProjectKeys(folder / "keys", declared.get, epoch, FakeClock())


@pytest.fixture
def keys(tmp_path: Path, declared: Declared, epoch: MemoryEpoch) -> ProjectKeys:
    return keys_of(tmp_path, declared, epoch)


class TestProjectKeys(DataKeysSuite):
    pass


@pytest.mark.requirement("PRV-02")
def test_data_about_people_is_encrypted_unless_somebody_says_otherwise(
    tmp_path: Path, keys: ProjectKeys, declared: Declared, epoch: MemoryEpoch
) -> None:
    assert len(keys.current("cars/outcomes") or "") == ID_DIGITS
    assert keys.current("parts/outcomes") is None
    assert keys.current("absent/outcomes") is None
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["data-cars.key"]
    declared.specs["cars"] = PrivacySpec(basis="consent", encrypt=False)
    declared.specs["parts"] = PrivacySpec(basis="not_personal", encrypt=True)
    epoch.advance()
    assert keys.current("cars/outcomes") is None
    assert keys.current("parts/outcomes") is not None
    declared.specs["cars"] = PrivacySpec()
    epoch.advance()
    assert keys.current("cars/outcomes") is not None, "until somebody says, it is about people"


@pytest.mark.requirement("PRV-02")
def test_each_project_and_each_place_has_a_key_of_its_own(
    tmp_path: Path, keys: ProjectKeys, declared: Declared, epoch: MemoryEpoch
) -> None:
    declared.specs["boats"] = PrivacySpec(basis="consent")
    cars, boats = keys.current("cars/outcomes") or "", keys.current("boats/outcomes") or ""
    found = {
        keys.key("cars/outcomes", cars, "table cars/outcomes"),
        keys.key("cars/outcomes", cars, "segment cars/outcomes/a"),
        keys.key("boats/outcomes", boats, "table cars/outcomes"),
    }
    assert len(found) == 3
    assert {len(key) for key in found} == {32}
    again = keys_of(tmp_path, declared, epoch)
    assert again.current("cars/outcomes") == cars
    assert again.key("cars/outcomes", cars, "table cars/outcomes") in found
    with pytest.raises(Unavailable, match=f"'boats/outcomes' was encrypted with key {cars}, which is not in"):
        keys.key("boats/outcomes", cars, "table")


@pytest.mark.requirement("PRV-02")
def test_a_new_key_is_seen_by_every_process_and_the_old_one_still_reads(
    tmp_path: Path, keys: ProjectKeys, declared: Declared, epoch: MemoryEpoch
) -> None:
    other = keys_of(tmp_path, declared, epoch)
    first = other.current("cars/outcomes") or ""
    secret = other.key("cars/outcomes", first, "t")
    second = keys.rotate("cars")
    assert second != first
    assert keys.current("cars/outcomes") == other.current("cars/predictions") == second
    assert keys.key("cars/outcomes", first, "t") == secret != other.key("cars/outcomes", second, "t")
    assert keys.ids("cars") == [first, second]
    far = keys_of(tmp_path, declared, MemoryEpoch())
    assert far.current("cars/outcomes") == second
    third = keys.rotate("cars")
    assert far.key("cars/outcomes", third, "t"), "a key that is newer than what it remembers is looked up"


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, keys: ProjectKeys, epoch: MemoryEpoch, mode: int
) -> None:
    keys.current("cars/outcomes")
    path = tmp_path / "keys" / "data-cars.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    epoch.advance()
    refused = rf"open to other users \(mode {mode:04o}, expected 0600\)"
    with pytest.raises(Unavailable, match=refused):
        keys.current("cars/outcomes")
    with pytest.raises(Unavailable, match=refused):
        keys.rotate("cars")
    path.chmod(0o600)
    assert keys.current("cars/outcomes")


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("content", [b"\x00\xff", b"one two three\n", b"0123456789abcdef 0011\n", b"zz zz\n"])
def test_a_damaged_key_file_is_refused(
    tmp_path: Path, keys: ProjectKeys, epoch: MemoryEpoch, content: bytes
) -> None:
    keys.current("cars/outcomes")
    (tmp_path / "keys" / "data-cars.key").write_bytes(content)
    epoch.advance()
    with pytest.raises(Unavailable, match="data-cars.key cannot be used .it is damaged.*from a backup"):
        keys.current("cars/outcomes")


def test_a_folder_where_nothing_can_be_written_is_named(
    tmp_path: Path, declared: Declared, epoch: MemoryEpoch
) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(Unavailable, match="data-cars.key cannot be used"):
        keys_of(tmp_path, declared, epoch).current("cars/outcomes")


@pytest.mark.requirement("PRV-02")
def test_destroying_the_file_destroys_the_data(tmp_path: Path, keys: ProjectKeys, epoch: MemoryEpoch) -> None:
    first = keys.current("cars/outcomes") or ""
    keys.key("cars/outcomes", first, "t")
    (tmp_path / "keys" / "data-cars.key").unlink()
    epoch.advance()
    with pytest.raises(Unavailable, match="cannot be read again"):
        keys.key("cars/outcomes", first, "t")
    assert keys.current("cars/outcomes") not in {None, first}
