"""Event files that a real writer has written, whole, cut off and damaged."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.plugins.tensorboard import tensorboard_runs


def write_run(folder: Path) -> Path:
    """Scalars, text and hyperparameters as notebooks log them."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step in range(3):
            writer.add_scalar("loss/train", 1.0 / (step + 1), step, walltime=1_700_000_000.0 + step)
        writer.add_scalar("nought", 0.0, 5, walltime=1_700_000_004.0)
        writer.add_text("notes", "seen", 0, walltime=1_700_000_001.0)
        writer.add_hparams({"alpha": 0.5, "kind": "tree", "deep": True}, {"mae": 2.5}, name="tuned")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    write_run(folder / "first")
    return folder


@pytest.mark.requirement("EXP-06")
def test_runs_are_read_with_parameters_metrics_by_step_and_times(written: Path) -> None:
    run, tuned = tensorboard_runs(written)
    assert (run.name, tuned.name) == ("first", "first/tuned"), "as TensorBoard tells them apart"
    assert tuned.params == {"alpha": 0.5, "kind": "tree", "deep": True}
    assert tuned.metrics == {"mae": 2.5}
    losses = [(point.step, round(point.value, 6)) for point in run.series["loss/train"]]
    assert losses == [(0, 1.0), (1, 0.5), (2, 0.333333)]
    assert run.series["loss/train"][0].at.timestamp() == 1_700_000_000.0
    assert run.metrics["nought"] == 0.0
    assert run.error is None
    assert run.source_id != tuned.source_id
    assert [one.source_id for one in tensorboard_runs(written / "first")] == [run.source_id, tuned.source_id]


def test_a_file_that_a_killed_writer_left_is_read_up_to_where_it_ends(written: Path, tmp_path: Path) -> None:
    (path,) = (written / "first").glob("events.*")
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-5])
    assert len(list(tensorboard_runs(tmp_path))) == 1


@pytest.mark.parametrize("content", [b"x" * 40, struct.pack("<QI", 10, 0) + b"y" * 14])
def test_a_damaged_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged, or no event file, at byte 0"):
        list(tensorboard_runs(tmp_path))


@given(position=st.integers(0, 400), bit=st.integers(0, 7))
def test_no_flipped_bit_is_more_than_another_value_or_an_error(
    written: Path, tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    (path,) = (written / "first").glob("events.*")
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    folder = tmp_path_factory.mktemp("flipped")
    (folder / path.name).write_bytes(bytes(content))
    with suppress(InvalidInput):
        assert len(list(tensorboard_runs(folder))) <= 1


def test_a_folder_without_events_has_no_runs(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"")
    assert list(tensorboard_runs(tmp_path)) == []
