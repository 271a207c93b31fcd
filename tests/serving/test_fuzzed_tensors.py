from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="needs atheris: pip install atheris")
N_RUNS = 20_000


@pytest.mark.usefixtures("cold")  # what is loaded already is not led
def test_whatever_bytes_follow_the_json_they_are_read_or_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.serving.fuzzed_tensors", f"-runs={N_RUNS}", "-max_len=200"]
    ran = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert f"Done {N_RUNS} runs" in ran.stderr
    reached = [int(found) for found in re.findall(r"cov: (\d+)", ran.stderr)]
    assert reached[-1] > reached[0], "it is led by what it reaches"
