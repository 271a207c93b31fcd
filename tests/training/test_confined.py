from __future__ import annotations

import subprocess
import sys

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
