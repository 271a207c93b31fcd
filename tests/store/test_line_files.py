"""Files of lines, in clear and sealed: durable, never as a whole in memory, and of use to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Conflict, InternalError, InvalidInput, NotFound
from headrace.core.ports import DataKeys
from headrace.store.line_files import BLOCK_BYTES, LineFiles, lines_of
from headrace.store.sealing import HEADER_BYTES


class Keys:
    """One key for every project."""

    def current(self, name: str) -> str | None:
        assert name == "cars/files"
        return "00112233aabbccdd"

    def key(self, name: str, key_id: str, place: str) -> bytes:
        return f"{name} {key_id} {place}".encode().ljust(32, b"-")[-32:]


@pytest.fixture(params=[None, Keys()], ids=["clear", "sealed"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> LineFiles:
    keys: DataKeys | None = request.param
    return LineFiles(tmp_path, keys)


def test_what_was_written_is_read_in_blocks(files: LineFiles) -> None:
    data = b"".join(b"%d," % number + b"x" * 990 + b"\n" for number in range(3_000))
    with files.create("cars", "file-1") as writer:
        for start in range(0, len(data), 700_000):
            writer.write(data[start : start + 700_000])
        assert writer.size_bytes == len(data)
    blocks = list(files.blocks("cars", "file-1"))
    assert max(map(len, blocks)) <= BLOCK_BYTES
    assert b"".join(blocks) == data
    assert b"".join(lines_of(blocks)) == data


def test_a_torn_end_hides_nothing_that_was_acknowledged(files: LineFiles, tmp_path: Path) -> None:
    with files.create("cars", "file-1") as writer:
        writer.write(b"one\n")
        path = tmp_path / "cars" / "file-1"
        size = path.stat().st_size
        writer.write(b"two and more\n")
    for cut in range(size, path.stat().st_size):
        data = path.read_bytes()[:cut]
        (tmp_path / "cars" / "file-2").write_bytes(data)
        if files._keys is None:
            assert next(lines_of(files.blocks("cars", "file-2"))) == b"one\n"
    assert b"".join(files.blocks("cars", "file-1")) == b"one\ntwo and more\n"


def test_a_sealed_file_is_of_no_use_elsewhere(tmp_path: Path) -> None:
    files = LineFiles(tmp_path, Keys())
    with files.create("cars", "file-1") as writer:
        writer.write(b"a secret\n")
    path = tmp_path / "cars" / "file-1"
    assert b"secret" not in path.read_bytes()
    path.rename(tmp_path / "cars" / "file-2")
    with pytest.raises(InternalError, match="altered"):
        list(files.blocks("cars", "file-2"))
    with pytest.raises(Conflict, match="without keys"):
        list(LineFiles(tmp_path).blocks("cars", "file-2"))
    assert (tmp_path / "cars" / "file-2").stat().st_mode & 0o077 == 0
    assert (tmp_path / "cars" / "file-2").stat().st_size > HEADER_BYTES


def test_a_name_is_taken_once_and_leads_nowhere_else(files: LineFiles) -> None:
    files.create("cars", "file-1").close()
    with pytest.raises(Conflict):
        files.create("cars", "file-1")
    with pytest.raises(InvalidInput):
        files.create("cars", "../file-1")
    assert list(files.blocks("cars", "file-1")) == []
    assert files.names("cars", "file-") == ["file-1"]
    assert files.names("none", "") == []
    assert files.remove("cars", "file-1")
    assert not files.remove("cars", "file-1")
    with pytest.raises(NotFound):
        list(files.blocks("cars", "file-1"))


@given(st.lists(st.binary(max_size=6).map(lambda data: data.replace(b"\x00", b"\n")), max_size=8))
def test_lines_are_those_of_the_whole(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    found = list(lines_of(blocks))
    assert b"".join(found) == whole
    assert all(line.count(b"\n") == line.endswith(b"\n") for line in found)
    assert all(line.endswith(b"\n") for line in found[:-1])
