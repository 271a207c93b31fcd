"""Prometheus' own tool, where it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run_promtool(*arguments: str | Path, text: str = "") -> str:
    """What it prints. Skips without it (``scripts/promtool`` fetches it); fails when it refuses."""
    beside = Path(sys.executable).with_name("promtool")
    found = str(beside) if beside.is_file() else shutil.which("promtool")
    if found is None:
        pytest.skip("needs promtool, of Prometheus; scripts/promtool fetches it on Debian")
    ended = subprocess.run(
        [found, *map(str, arguments)], input=text, check=False, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr
