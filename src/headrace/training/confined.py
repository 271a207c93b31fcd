"""Takes the network, and other processes, away from this one for good, before it runs code of others.

On Linux a filter of system calls (seccomp) refuses new sockets of every kind, and to look into other
processes or take what they have open. What a process starts inherits it, and it cannot be taken off.
Elsewhere there is no such filter, and nothing is taken away.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

from headrace.core.errors import InternalError

_CALLS = {
    "x86_64": (41, 425, 101, 310, 311, 438),
    "aarch64": (198, 425, 117, 270, 271, 438),
}
"""Of each kind of machine the numbers of ``socket``, ``io_uring_setup`` (by which sockets come, too),
``ptrace``, ``process_vm_readv``, ``process_vm_writev`` and ``pidfd_getfd``."""
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_NO_NEW_PRIVILEGES, _SET_FILTER, _ALL_THREADS = 38, 1, 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def without_network() -> bool:
    """Refuse new sockets in this process and all that it starts; returns whether this system can.

    Raises:
        InternalError: it should, and did not.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES:
        return False
    program = _filter(machine)
    buffer = ctypes.create_string_buffer(program, len(program))
    asked = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    library = ctypes.CDLL(None, use_errno=True)
    done = library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.syscall(
        _SECCOMP[machine], _SET_FILTER, _ALL_THREADS, ctypes.byref(asked)
    )
    if done != 0:
        raise InternalError(f"The network cannot be taken away: error {ctypes.get_errno()}.")
    return True


def _filter(machine: str) -> bytes:
    """Instructions of the kernel's packet filter: load a word, compare it, jump so far if so or if not."""
    steps: list[tuple[int, int | str, int | str, int]] = [
        (_LOAD, 0, 0, 4),  # the architecture: calls of another one have other numbers
        (_EQUAL, 0, "refuse", _ARCHITECTURES[machine]),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, "refuse", 0, _X32),
        *((_EQUAL, "refuse", 0, call) for call in _CALLS[machine]),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    last = len(steps) - 1

    def jump(place: int, to: int | str) -> int:
        return last - place - 1 if to == "refuse" else int(to)

    return b"".join(
        struct.pack("=HBBI", code, jump(at, yes), jump(at, no), value)
        for at, (code, yes, no, value) in enumerate(steps)
    )
