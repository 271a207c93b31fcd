from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import socket, subprocess, sys
from headrace.training.confined import without_network
if not without_network():
    sys.exit(7)
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
    try:
        socket.socket(family)
    except PermissionError:
        continue
    sys.exit(3)
child = subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], capture_output=True)
assert b"PermissionError" in child.stderr, child.stderr
open("/dev/null").close()
print("closed")
"""


@pytest.mark.requirement("TPL-08")
def test_a_process_without_network_opens_no_socket_and_neither_does_its_child() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    if ran.returncode == 7:
        pytest.skip("this system has no filter of calls")
    assert ran.stdout == "closed\n", ran.stderr


FILES = """
import os, sys
from pathlib import Path
from headrace.training.confined import without_files
mine, others, parent = Path(sys.argv[1]), Path(sys.argv[2]), os.getppid()
if not without_files(mine):
    sys.exit(7)
(mine / "made").write_text("mine")
assert (mine / "made").read_text() == "mine"
reading = lambda path: open(path, "rb").read(1)
writing = lambda path: open(path, "ab")
for act, path in (
    (reading, others / "key.pem"), (writing, others / "key.pem"), (writing, others / "new"),
    (reading, f"/proc/{parent}/environ"), (writing, f"/proc/{parent}/mem"),
    (writing, Path(sys.prefix) / "made.pth"), (lambda path: os.kill(path, 0), parent),
):
    try:
        act(path)
    except PermissionError:
        continue
    sys.exit(f"{path} was open")
import sklearn.linear_model
import pandas
print(os.cpu_count() > 0 and "closed")
"""


@pytest.mark.requirement("TPL-08")
def test_a_process_without_files_has_its_folder_and_what_python_needs(tmp_path: Path) -> None:
    mine, others = tmp_path / "mine", tmp_path / "others"
    mine.mkdir()
    others.mkdir()
    (others / "key.pem").write_text("secret")
    command = [sys.executable, "-P", "-c", FILES, str(mine), str(others)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == 7:
        pytest.skip("this system has no Landlock")
    assert ran.stdout == "closed\n", ran.stderr
    assert (others / "key.pem").read_text() == "secret"
