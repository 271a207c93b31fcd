from __future__ import annotations

from pathlib import Path

import pytest

from headrace.access.privacy.data_keys import ProjectKeys
from headrace.core.errors import NotFound, Unavailable
from headrace.core.project import PrivacySpec, Project
from headrace.store.sealing import header
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
    return ProjectKeys(folder / "keys", folder, declared.get, epoch, FakeClock())


@pytest.fixture
def keys(tmp_path: Path, declared: Declared, epoch: MemoryEpoch) -> ProjectKeys:
    return keys_of(tmp_path, declared, epoch)


class TestProjectKeys(DataKeysSuite):
    pass


def test_what_is_known_stays_known_until_a_project_or_a_key_file_is_another(
    tmp_path: Path, declared: Declared, epoch: MemoryEpoch
) -> None:
    clock, asked = FakeClock(), []

    def in_force(name: str) -> Project:
        asked.append(name)
        return declared.get(name)

    keys = ProjectKeys(
        tmp_path / "keys", tmp_path, in_force, epoch, clock, edition=lambda: repr(declared.specs)
    )

    def current() -> str | None:
        clock.advance(0.5)
        return keys.current("cars/outcomes")

    first = current()
    assert {current() for _ in range(10)} == {first}
    assert len(asked) <= 2, "once more at most, because the first key was made meanwhile"
    elsewhere = keys_of(tmp_path, declared, MemoryEpoch()).rotate("cars")
    assert current() == elsewhere, "another machine's key"
    (tmp_path / "keys" / "data-cars.key").chmod(0o644)
    with pytest.raises(Unavailable, match="data-cars.key"):
        current()
    (tmp_path / "keys" / "data-cars.key").chmod(0o600)
    declared.specs["cars"] = PrivacySpec(basis="consent", encrypt=False)
    assert current() is None


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
    assert keys.current("cars/outcomes") not in {None, first}, "nothing was written under it"


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("place", ["events/cars/outcomes/a.seg", "tables/cars/outcomes/a.KEY.parquet"])
def test_no_key_is_made_anew_while_something_is_encrypted_with_the_one_that_is_gone(
    tmp_path: Path, keys: ProjectKeys, epoch: MemoryEpoch, place: str
) -> None:
    first = keys.current("cars/outcomes") or ""
    assert keys.lost("cars") == {}
    file = tmp_path / place.replace("KEY", first)
    file.parent.mkdir(parents=True)
    file.write_bytes(header(first) + b"sealed")
    path = tmp_path / "keys" / "data-cars.key"
    content = path.read_bytes()
    path.unlink()
    epoch.advance()
    refused = f"data-cars.key is not there, .*{first}.*such as {file.relative_to(tmp_path)}.*--lost"
    with pytest.raises(Unavailable, match=refused):
        keys.current("cars/outcomes")
    with pytest.raises(Unavailable, match=refused):
        keys.rotate("cars")
    assert not path.exists()
    assert list(keys.lost("cars")) == [first]
    second = keys.rotate("cars", lost=True)
    assert keys.current("cars/outcomes") == second != first
    path.write_bytes(content)
    path.chmod(0o600)
    epoch.advance()
    assert keys.key("cars/outcomes", first, "t"), "from a backup it reads again"


@pytest.mark.requirement("PRV-02")
def test_another_projects_file_in_its_place_is_refused(
    tmp_path: Path, keys: ProjectKeys, declared: Declared, epoch: MemoryEpoch
) -> None:
    declared.specs["boats"] = PrivacySpec(basis="consent")
    cars = keys.current("cars/outcomes") or ""
    keys.current("boats/outcomes")
    folder = tmp_path / "keys"
    (folder / "data-cars.key").rename(folder / "kept")
    (folder / "data-boats.key").rename(folder / "data-cars.key")
    (folder / "kept").rename(folder / "data-boats.key")
    epoch.advance()
    for use in (
        lambda: keys.current("cars/outcomes"),
        lambda: keys.key("cars/outcomes", cars, "t"),
        lambda: keys.ids("boats"),
    ):
        with pytest.raises(Unavailable, match="it is another project's"):
            use()
    untagged = [line.rsplit(" ", 1)[0] for line in (folder / "data-boats.key").read_text().splitlines()]
    (folder / "data-cars.key").write_text("\n".join(untagged))
    epoch.advance()
    assert keys.current("cars/outcomes") == cars, "a file of an earlier version has no tag"
