from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from headrace.web.processes import counts_folder

HOLDER = """
import sys, time
from pathlib import Path
from headrace.web.processes import counts_folder

with counts_folder(Path(sys.argv[1])) as counts:
    (counts / "7").write_text("headrace_processes 1")
    print(counts, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_server_has_counted_is_removed_by_the_next_and_by_no_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        with counts_folder(tmp_path):
            assert (held / "7").is_file(), "it is in use"
        os.kill(holder.pid, signal.SIGKILL)
    assert list(tmp_path.iterdir()) == [held]
    with counts_folder(tmp_path) as counts:
        assert list(tmp_path.iterdir()) == [counts]
    assert list(tmp_path.iterdir()) == []
