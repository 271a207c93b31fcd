"""Takes network, files and other processes away from this one for good, before it runs code of others.

On Linux a filter of system calls (seccomp) refuses new sockets of every kind, and to look into other
processes or take what they have open. Landlock, which kernels have since 5.13 unless they were built without,
leaves only what Python and its packages need to be read, and one folder to be written. What a process starts
inherits both, and neither can be taken off. Elsewhere there is nothing like it, and nothing is taken away.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

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


_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Landlock's calls, which have the same numbers on every kind of machine."""
_VERSION, _BENEATH = 1, 1
_READ_FILE, _READ_FOLDER, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""Since which version of Landlock there are how many rights to files; all are taken."""
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_SCOPES = 0b11
"""No abstract sockets of others, and no signals to them; since version 6."""
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/opt", "/sys/devices/system/cpu", "/proc/self",
           "/proc/cpuinfo", "/proc/meminfo", "/proc/stat")  # fmt: skip
_OURS = str(Path(__file__).parents[1])
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


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


def without_files(folder: Path) -> bool:
    """Leave this thread, and all that it starts, ``folder``, and to read what Python and its packages need;
    returns whether this system can. Call it before other threads start.

    Raises:
        InternalError: it should, and did not.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return False
    every = (1 << max(n for since, n in _RIGHTS if since <= version)) - 1
    asked = struct.pack("=QQQ", every, 0, _SCOPES if version >= 6 else 0)[: 24 if version >= 6 else 8]
    rules = library.syscall(_CREATE, asked, ctypes.c_size_t(len(asked)), 0)
    read = _EXECUTE | _READ_FILE | _READ_FOLDER
    try:
        if rules < 0:
            raise InternalError(f"Files cannot be taken away: error {ctypes.get_errno()}.")
        for path in {*_SYSTEM, sys.prefix, sys.base_prefix, _OURS, *sys.path}:
            _leave(library, rules, path, read & every)
        for path in _DEVICES:
            _leave(library, rules, path, every)
        _leave(library, rules, str(folder), every)
        if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.syscall(_RESTRICT, rules, 0):
            raise InternalError(f"Files cannot be taken away: error {ctypes.get_errno()}.")
    finally:
        if rules >= 0:
            os.close(rules)
    return True


def _leave(library: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """Leave what is below ``path``; what is not there needs nothing."""
    try:
        place = os.open(path or ".", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if Path(path or ".").is_dir() else rights & _OF_FILES
        if library.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", allowed, place), 0):
            raise InternalError(f"{path} cannot be left: error {ctypes.get_errno()}.")
    finally:
        os.close(place)


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
