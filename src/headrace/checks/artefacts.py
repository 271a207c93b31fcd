"""Looks at a model's files before anything loads them. What cannot be understood is refused."""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar, Literal

from headrace.checks.artefact_kinds import PICKLES, FileKind, disguise, kind_of, suffix_of
from headrace.checks.containers import (
    DAMAGED,
    Budget,
    Limits,
    Source,
    TooLarge,
    compression_of,
    decompressed,
    odd_name,
    tar_members,
    zip_members,
)
from headrace.checks.mlflow_folders import flavour_problems
from headrace.checks.onnx_files import References, references
from headrace.checks.opinions import opinions
from headrace.checks.pickles import read_pickles
from headrace.checks.trusted import Global, trust_of
from headrace.core.errors import GateFailed

ThreatKind = Literal[
    "bomb", "code", "disguise", "external", "link", "nested", "operator", "path", "second_opinion", "unknown",
    "unreadable", "user_code",
]  # fmt: skip
_MOST = 100
_SCHEMA_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Threat:
    """Why a file is not to be loaded.

    Attributes:
        path: of the file, relative to what was scanned; ``!`` goes into an archive.
        kind: ``code`` would run or load what is not trusted, ``user_code`` is a program to be seen,
            ``external`` and ``path`` reach outside of the folder, ``operator`` needs a library of its own,
            ``second_opinion`` is what another scanner says.
    """

    path: str
    kind: ThreatKind
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail} ({self.kind})"


def scan(
    path: Path, *, allow_code: bool = False, limits: Limits | None = None, second_opinions: bool = True
) -> list[Threat]:
    """Everything that speaks against loading a file or folder; an empty list if nothing does.

    Nothing of it is imported or executed. Links are not followed.

    Args:
        allow_code: accept programs that everybody can read, such as the code of an MLflow model; whoever
            loads the model runs them.
        second_opinions: also ask ``picklescan`` and ``skops``, where they are installed.

    Raises:
        FileNotFoundError: there is nothing at ``path``.

    Example::

        scan(Path("model.joblib"))  # [Threat(path='model.joblib', kind='code', detail='...')]
    """
    scanner = _Scanner(limits or Limits(), allow_code=allow_code, second_opinions=second_opinions)
    scanner.entry(path, path.name)
    return scanner.found()


def scan_bytes(
    data: bytes, name: str, *, limits: Limits | None = None, second_opinions: bool = True
) -> list[Threat]:
    """As :func:`scan`, of content that lies in memory; ``name`` says what it is called."""
    limits = limits or Limits()
    scanner = _Scanner(limits, allow_code=False, second_opinions=second_opinions)
    budget = Budget(limits, len(data))
    scanner.content(_Content(shown=name, file=io.BytesIO(data), size=len(data), budget=budget))
    return scanner.found()


class UnsafeArtefact(GateFailed):
    """A file was refused before anything loaded it; the message names the first threats."""

    def __init__(self, name: str, threats: Sequence[Threat]) -> None:
        first = "; ".join(str(threat) for threat in threats[:3])
        more = f"; and {len(threats) - 3} more" if len(threats) > 3 else ""
        super().__init__(
            f"{name} was refused before anything loaded it: {first}{more}. Save it without what is named, "
            "or convert it to ONNX or skops."
        )
        self.name = name
        self.threats = tuple(threats)


def require_safe(threats: Sequence[Threat], name: str) -> None:
    """Return if there are no threats.

    Raises:
        UnsafeArtefact: there are.
    """
    if threats:
        raise UnsafeArtefact(name, threats)


class _Mapped(mmap.mmap):
    """A file mapped into memory, as much of a file as ``zipfile`` asks for."""

    def seekable(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class _Content:
    """The bytes of one file and where they come from.

    Attributes:
        folder, root: of a file on disk: where it lies, and what it must not reach out of.
        torch: it belongs to an archive of PyTorch.
    """

    shown: str
    file: BinaryIO
    size: int
    budget: Budget
    depth: int = 0
    folder: Path | None = None
    root: Path | None = None
    torch: bool = False

    @property
    def name(self) -> str:
        """Its own name, without those of the archives around it."""
        return self.shown.rpartition("!")[2]


class _Scanner:
    def __init__(self, limits: Limits, *, allow_code: bool, second_opinions: bool) -> None:
        self.threats: dict[Threat, None] = {}
        self._limits = limits
        self._allow_code = allow_code
        self._second_opinions = second_opinions
        self._n_files = 0
        self._numbers: set[str] = set()

    def found(self) -> list[Threat]:
        """All threats. A file without a kind of its own is none where an ONNX model keeps its numbers."""
        return [t for t in self.threats if t.kind != "unknown" or t.path not in self._numbers]

    def report(self, path: str, kind: ThreatKind, detail: str) -> None:
        if len(self.threats) < _MOST:
            self.threats[Threat(path=ascii(path)[1:-1], kind=kind, detail=ascii(detail)[1:-1])] = None

    def entry(self, path: Path, shown: str, root: Path | None = None) -> None:
        """Scan what lies at ``path``; ``root`` is the folder that it belongs to, if it is in one."""
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            self.report(shown, "link", f"it is a symbolic link to {path.readlink()}: give the file itself")
        elif stat.S_ISDIR(status.st_mode):
            self._folder(path, shown, root or path)
        elif not stat.S_ISREG(status.st_mode):
            self.report(shown, "link", "it is a device, a pipe or a socket")
        elif root is not None and status.st_nlink > 1:
            self.report(shown, "link", "it is a hard link: by its other name it can be changed from outside")
        elif self._counted(shown):
            with path.open("rb") as file:
                self._file(file, path, shown, root or path.parent)

    def content(self, content: _Content) -> None:
        """Scan the bytes of one file."""
        kind, onnx = self._told(content)
        before = len(self.threats)
        wrong = disguise(content.name, kind)
        if wrong is not None and content.size:
            self.report(content.shown, "disguise", wrong)
        if onnx is not None:
            self._onnx(content, onnx)
        elif (look := self._LOOKS.get(kind)) is not None:
            look(self, content)
        if kind not in ("zip", "tar", "text"):
            self._also_zip(content, kind)
        if self._second_opinions and kind in ("pickle", "zip", "npy") and len(self.threats) == before:
            # Where ours has found something, theirs adds nothing.
            for opinion in opinions(content.file, content.name):
                self.report(content.shown, "second_opinion", f"{opinion.scanner}: {opinion.detail}")

    def _told(self, content: _Content) -> tuple[FileKind, References | None]:
        """What the file is, also where its first bytes do not tell."""
        kind = kind_of(content.name, content.file)
        if not content.size:
            return ("unknown" if suffix_of(content.name) in PICKLES else "text"), None
        if kind in ("unknown", "text", "tar") or suffix_of(content.name) == ".onnx":
            onnx = references(_view(content.file))
            if onnx is not None:
                return "onnx", onnx
        if kind in ("text", "unknown"):
            reading = read_pickles(content.file)
            content.file.seek(0)
            if reading.ends or reading.calls or suffix_of(content.name) in PICKLES:
                return "pickle", None
        return kind, None

    def _folder(self, path: Path, shown: str, root: Path) -> None:
        for child in sorted(path.iterdir()):
            odd = odd_name(child.name)
            name = f"{shown}/{child.name}"
            if odd:
                self.report(name, "path", f"its name {odd}")
            elif self._n_files <= self._limits.members:
                self.entry(child, name, root)
        described = path / "MLmodel"
        if described.is_file() and not described.is_symlink():
            for kind, detail in flavour_problems(described.read_bytes(), allow_code=self._allow_code):
                self.report(f"{shown}/MLmodel", kind, detail)

    def _counted(self, shown: str) -> bool:
        self._n_files += 1
        if self._n_files == self._limits.members + 1:
            self.report(shown, "bomb", f"there are more than {self._limits.members} files")
        return self._n_files <= self._limits.members

    def _file(self, file: BinaryIO, path: Path, shown: str, root: Path) -> None:
        size = os.fstat(file.fileno()).st_size
        made = _Content(
            shown=shown,
            file=file,
            size=size,
            budget=Budget(self._limits, size),
            folder=path.parent,
            root=root,
        )
        if not size:
            self.content(made)
            return
        with _Mapped(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            self.content(replace(made, file=mapped))  # type: ignore[arg-type]

    def _inside(self, content: _Content, source: Source, name: str, *, torch: bool = False) -> bytes:
        """Scan a file that lies in another one; returns its bytes."""
        data = content.budget.expand(source)
        size = len(data.getbuffer())
        within = {"budget": content.budget, "depth": content.depth + 1, "torch": torch}
        self.content(_Content(shown=name, file=data, size=size, **within))  # type: ignore[arg-type]
        return data.getvalue()

    def _pickle(self, content: _Content) -> None:
        for suspicion in read_pickles(content.file, torch=content.torch).suspicions:
            self.report(content.shown, suspicion.kind, suspicion.detail)

    def _also_zip(self, content: _Content, kind: FileKind) -> None:
        """A zip is found by its end, so that other bytes may come first: two readers see two files."""
        content.file.seek(0)
        with suppress(*DAMAGED):
            if zipfile.is_zipfile(content.file):
                self.report(content.shown, "disguise", f"it is a zip archive as well as a {kind}")
        content.file.seek(0)

    def _archive(self, content: _Content) -> None:
        if content.depth >= self._limits.depth:
            self.report(content.shown, "nested", f"it is an archive {content.depth} archives deep")
            return
        head = content.file.read(8)
        content.file.seek(0)
        packed = compression_of(head)
        try:
            if head.startswith(b"PK"):
                with zipfile.ZipFile(content.file) as archive:
                    self._zip(content, archive)
            elif packed is None:
                with tarfile.open(fileobj=content.file, mode="r:") as tar:
                    self._tar(content, tar)
            else:
                shown = content.shown
                inner = (
                    shown if suffix_of(shown) in PICKLES else shown.removesuffix(PurePosixPath(shown).suffix)
                )
                self._inside(content, decompressed(packed, content.file), inner)
        except TooLarge:
            self.report(content.shown, "bomb", "it grows beyond all proportion when it is read")
        except DAMAGED as error:
            self.report(content.shown, "unreadable", f"an archive that cannot be read: {error}")

    def _zip(self, content: _Content, archive: zipfile.ZipFile) -> None:
        names = archive.namelist()
        offsets = [info.header_offset for info in archive.filelist]
        if offsets and all(offsets):
            self.report(content.shown, "disguise", "something comes before the first file of the archive")
        if suffix_of(content.name) == ".keras" or {"config.json", "model.weights.h5"} <= set(names):
            self._keras(content, archive)
            return
        torch = any(PurePosixPath(name).name == "data.pkl" for name in names)
        for member in zip_members(archive):
            inner = f"{content.shown}!{member.name}"
            if member.problem is not None:
                self.report(inner, *member.problem)
                continue
            if not self._counted(inner):
                return
            parts = PurePosixPath(member.name).parts
            with archive.open(member.name) as source:
                if torch and len(parts) == 3 and parts[1] in ("data", ".data"):
                    content.budget.expand(source)  # numbers, which an allowed index refers to
                    continue
                data = self._inside(content, source, inner, torch=torch)
            if parts == ("schema.json",) and suffix_of(content.name) == ".skops":
                self._skops(content.shown, data)

    def _tar(self, content: _Content, archive: tarfile.TarFile) -> None:
        for member in tar_members(archive):
            inner = f"{content.shown}!{member.name}"
            if member.problem is not None:
                self.report(inner, *member.problem)
            elif not self._counted(inner):
                return
            elif (source := archive.extractfile(member.name)) is not None:
                self._inside(content, source, inner)

    def _keras(self, content: _Content, archive: zipfile.ZipFile) -> None:
        config = b""
        if "config.json" in archive.namelist():
            with archive.open("config.json") as source:
                config = source.read(_SCHEMA_BYTES)
        layer = " with a Lambda layer, which is code" if b'"Lambda"' in config else ""
        self.report(content.shown, "unknown", f"it is a Keras model{layer}: convert it to ONNX")

    def _hdf5(self, content: _Content) -> None:
        layer = " and names a Lambda layer, which is code" if _holds(content.file, b'"Lambda"') else ""
        self.report(content.shown, "unknown", f"it is HDF5, which can hold code{layer}: convert it to ONNX")

    def _program(self, content: _Content) -> None:
        if not self._allow_code:
            self.report(content.shown, "user_code", "it is a program")

    def _unknown(self, content: _Content) -> None:
        self.report(content.shown, "unknown", "it is of no kind that is known to hold a model without code")

    def _skops(self, shown: str, schema: bytes) -> None:
        try:
            pending: list[Any] = [json.loads(schema)]
        except (ValueError, RecursionError) as error:
            self.report(shown, "unreadable", f"its schema cannot be read: {error}")
            return
        while pending:
            node = pending.pop()
            if isinstance(node, list):
                pending.extend(node)
            if not isinstance(node, dict):
                continue
            pending.extend(node.values())
            if "__class__" in node and "__module__" in node:
                named = Global(str(node["__module__"]), str(node["__class__"]))
                if trust_of(named) is None:
                    self.report(shown, "code", f"it would load {named}, which is not trusted")

    def _npy(self, content: _Content) -> None:
        from numpy.lib import format as npy

        readers: dict[Any, Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        try:
            header: tuple[tuple[int, ...], bool, Any] = readers[npy.read_magic(content.file)](content.file)
        except (KeyError, *DAMAGED, SyntaxError, TypeError, RecursionError) as error:
            self.report(content.shown, "unreadable", f"an array whose header cannot be read: {error}")
            return
        shape, _, dtype = header
        if dtype.hasobject:
            self._pickle(content)
            return
        n_bytes: int = math.prod(shape) * dtype.itemsize
        left = content.size - content.file.tell()
        if n_bytes != left:
            detail = f"its header says {n_bytes} bytes of numbers, there are {left}"
            self.report(content.shown, "unreadable", detail)

    def _onnx(self, content: _Content, found: References) -> None:
        for domain in found.domains:
            detail = f"it needs operators of {domain!r}, which are somebody's library"
            self.report(content.shown, "operator", detail)
        for name in found.files:
            wrong = _elsewhere(name, content.folder, content.root)
            self._numbers.add(str(PurePosixPath(content.shown).parent / name))
            if wrong is not None:
                self.report(content.shown, "external", f"its numbers lie in {name!r}, {wrong}")

    _LOOKS: ClassVar[dict[FileKind, Callable[[_Scanner, _Content], None]]] = {
        "pickle": _pickle,
        "zip": _archive,
        "tar": _archive,
        "packed": _archive,
        "npy": _npy,
        "hdf5": _hdf5,
        "program": _program,
        "unknown": _unknown,
        "onnx": _unknown,
    }


def _elsewhere(name: str, folder: Path | None, root: Path | None) -> str | None:
    """Why a model's numbers must not lie in ``name``; None: they may."""
    odd = odd_name(name)
    if odd is not None:
        return f"whose name {odd}"
    if folder is None or root is None:
        return "which is another file"
    if not folder.joinpath(name).resolve().is_relative_to(root.resolve()):
        return "which is outside of the folder"
    return None if folder.joinpath(name).is_file() else "which is not there"


def _view(file: BinaryIO) -> memoryview:
    """The bytes of a file that lies in memory or is mapped into it."""
    return file.getbuffer() if hasattr(file, "getbuffer") else memoryview(file)  # type: ignore[arg-type]


def _holds(file: BinaryIO, text: bytes) -> bool:
    file.seek(0)
    try:
        last = b""
        while block := file.read(1 << 20):
            if text in last + block:
                return True
            last = block[-len(text) :]
        return False
    finally:
        file.seek(0)
