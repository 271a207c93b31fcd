"""Reads a page of the documentation as a reader does: types its commands, compares what it says they print.

What the fences of a page mean:

- ``bash`` is typed into one shell, in order. ``headrace up`` alone is the second terminal.
- ``text`` right after it is what was printed. Ids may differ, decimal numbers a little, spaces too;
  ``...`` stands for anything.
- ``python`` that begins with ``# NAME.py`` is saved under that name, or added at the end of that file.
- ``yaml`` changes these keys of ``headrace.yaml`` in the shell's folder.

Anything else is for reading only.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

from tests.pace import until

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- the block has ended:"
_PORT, _GRPC_PORT = "8000", "8001"
_MAY_END_WITH = (0, 4)  # done, or waits for a person
_LOOSE = re.compile(
    r"(?P<any>\.\.\.)|(?P<id>\b[0-9a-f]{8}-[0-9a-f]{4}[0-9a-f-]*|\b[0-9a-f]{64}\b)"
    r"|(?P<number>(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+(?:e-\d+)?|e-\d+))(?![\w]|\.\d))"
    r"|(?P<space>\s+)"
)

_PROGRESS = re.compile(r"^(?:[a-z][\w ]* \.\.\.|scoring: [\d,]+ of [\d,]+ rows)\n", re.MULTILINE)
"""A step that has begun: a terminal shows a bar in its place, which is gone afterwards."""


class Block(NamedTuple):
    """One fenced block and the line that it starts at."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)


class Reader:
    """Follows pages in one shell. Use it as a context manager: leaving ends the shell and the server.

    Args:
        folder: where the shell begins.
        port: stands in for the pages' 8000.
        grpc_port: stands in for their 8001; without it the server has no gRPC.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], port: int, grpc_port: int | None = None
    ) -> None:
        self._port = str(port)
        self._grpc_port = grpc_port
        self._environment = dict(environment)
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._shell = self._open(["bash", "--noprofile", "--norc"])

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._server, self._shell):
            if process is not None:
                process.terminate()
                process.communicate(timeout=30)

    def follow(self, page: Path) -> int:
        """Do what the page says; returns how many commands' blocks it had."""
        n_run, printed = 0, ""
        for block in blocks_of(page):
            where = f"{page.name}:{block.line}"
            if block.language == "bash":
                printed, n_run = self._type(block, where), n_run + 1
            elif block.language == "text":
                assert printed, (
                    f"{where}: nothing was typed before it. Call it 'none' if it is for reading only."
                )
                self._compare(block, printed, where)
                printed = ""
            elif block.language == "python" and block.text.startswith("# "):
                self._save(block)
            elif block.language == "yaml":
                self._declare(block)
        return n_run

    def serve(self) -> str:
        """Start the server; returns the line that it prints. Then it takes a moment until it answers."""
        assert self._server is None, "one server is enough"
        options = [] if self._grpc_port is None else ["--grpc-port", str(self._grpc_port)]
        self._server = self._open(["headrace", "up", "--port", self._port, *options])
        assert self._server.stdout is not None
        said = self._server.stdout.readline()
        until(self._is_ready)
        return said

    def _is_ready(self) -> bool:
        assert not (died := self._obituary()), died
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self._port}/readyz", trust_env=False).status_code == 200
        return False

    def _type(self, block: Block, where: str) -> str:
        if block.text.strip() == "headrace up":
            return self.serve()
        text = self._ported(block.text)
        text = re.sub(r"(headrace monitor replay .*)", rf"\1 --url http://127.0.0.1:{self._port}", text)
        printed, code = self._run(text)
        assert code in _MAY_END_WITH, f"{where} ended with {code}:\n{printed}{self._obituary()}"
        return printed

    def _ported(self, text: str) -> str:
        text = text.replace(f":{_PORT}", f":{self._port}")
        return text.replace(f":{_GRPC_PORT}", f":{self._grpc_port}") if self._grpc_port else text

    def _obituary(self) -> str:
        """What the server said when it ended, if it has."""
        if self._server is None or self._server.poll() is None:
            return ""
        return f"\nThe server has ended with {self._server.returncode}:\n{self._server.communicate()[0]}"

    def _run(self, text: str) -> tuple[str, int]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{text}\nprintf '\\n%s %s %s\\n' '{_END}' $? \"$PWD\"\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(_END):
                code, _, folder = line.removeprefix(_END).strip().partition(" ")
                self._folder = Path(folder)
                return "".join(lines), int(code)
            lines.append(line)
        raise AssertionError(f"The shell ended in the middle of a block:\n{text}\n{''.join(lines)}")

    def _compare(self, block: Block, printed: str, where: str) -> None:
        wanted = self._ported(block.text)
        printed = _PROGRESS.sub("", printed)
        assert says(wanted, printed), f"{where} says\n{wanted}\nbut it printed\n{printed}"

    def _save(self, block: Block) -> None:
        name, _, code = block.text.partition("\n")
        with (self._folder / name.removeprefix("# ").strip()).open("a", encoding="utf-8") as file:
            file.write(self._ported(code))

    def _declare(self, block: Block) -> None:
        path = self._folder / "headrace.yaml"
        declared = _merged(yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(block.text))
        path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")

    def _open(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def says(wanted: str, printed: str) -> bool:
    """Whether ``printed`` is what a page says, apart from what may differ from run to run."""
    numbers: list[float] = []

    def pattern(found: re.Match[str]) -> str:
        if found.lastgroup == "number":
            numbers.append(_number(found[0]))
        return {"any": ".*?", "id": "[0-9a-f-]+", "number": r"(-?[\d.,]+(?:e-?\d+)?)", "space": r"\s+"}[
            str(found.lastgroup)
        ]

    parts, end = [], 0
    for found in _LOOSE.finditer(wanted.strip()):
        parts += [re.escape(wanted.strip()[end : found.start()]), pattern(found)]
        end = found.end()
    same = re.fullmatch("".join([*parts, re.escape(wanted.strip()[end:])]), printed.strip(), re.DOTALL)
    if same is None:
        return False
    got = [_number(text) for text in same.groups()]
    return all(math.isclose(a, b, rel_tol=0.05, abs_tol=0.005) for a, b in zip(numbers, got, strict=True))


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _merged(present: Any, change: Any) -> Any:
    if isinstance(present, dict) and isinstance(change, dict):
        return present | {name: _merged(present.get(name), value) for name, value in change.items()}
    return change
