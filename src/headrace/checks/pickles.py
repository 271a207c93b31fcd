"""Reads a pickle as a program without running it: what would it load, call and fill?

The instructions are taken by the standard library's ``pickletools``; a stack of names and plain values stands
for the one that the unpickler would have. Nothing is imported and nothing of the file is executed.

A file of joblib interleaves instructions with the raw bytes of arrays. joblib skips them, ``pickle.load``
would run them as instructions; so such a file is read both ways, and has to be harmless in both.
"""

from __future__ import annotations

import math
import pickletools
import re
import struct
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple

import numpy as np

from headrace.checks.trusted import DEGREES, Global, Made, Trust, misuse, trust_of

Kind = Literal["code", "bomb", "unreadable"]
_WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_DTYPE = Global("numpy", "dtype")
_RECONSTRUCTOR = ("_reconstructor", ("copyreg", "copy_reg"))
_ATTRIBUTES = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_HEAVIEST = 100_000_000
_MOST = 50
_DEEPEST = 4
_DAMAGED = (ValueError, LookupError, EOFError, OverflowError, MemoryError, RecursionError, struct.error)
_CONSTANTS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES "
    "BINBYTES8 BYTEARRAY8 NONE UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT".split()
)


class Suspicion(NamedTuple):
    """What is wrong with a pickle. ``code``: it would run or load something that is not trusted; ``bomb``:
    it would fill the memory; ``unreadable``: it cannot be followed to its end."""

    kind: Kind
    detail: str


class Reading(NamedTuple):
    """What a pickle was found to do.

    Attributes:
        ends: whether it could be followed to its end.
        n_pickles: how many follow each other.
        n_arrays: how many raw arrays joblib keeps between its instructions.
        calls: whether it would call something that is not trusted.
        unlisted: what it names that is not trusted.
    """

    suspicions: list[Suspicion]
    ends: bool
    n_pickles: int
    n_arrays: int
    calls: bool
    unlisted: tuple[Global, ...] = ()


def read_pickles(file: BinaryIO, *, torch: bool = False) -> Reading:
    """Follow the pickles in ``file`` from its position to its end.

    Args:
        torch: it is the index of a PyTorch archive, which may refer to the archive's storages.
    """
    begin = file.tell()
    walk = _Walk(file, torch=torch, skips=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickletools, about escapes in texts that are none
        walk.run()
        if walk.n_arrays:
            file.seek(begin)
            plain = _Walk(file, torch=torch, skips=False)
            plain.run()
            walk.found.update(plain.found)
    unlisted = tuple(sorted(walk.unlisted))
    return Reading(list(walk.found), walk.ends, walk.n_pickles, walk.n_arrays, walk.calls, unlisted)


class _Tuple(tuple[object, ...]):  # noqa: SLOT001 - a subclass of tuple cannot have slots with values
    """A tuple that knows how many values it has with those inside of it, counted as often as they occur."""

    weight: int

    @classmethod
    def of(cls, items: list[object]) -> _Tuple:
        made = cls(items)
        made.weight = 1 + sum(i.weight if isinstance(i, _Tuple) else 1 for i in made)
        return made


class _Damaged(Exception):
    """It cannot be followed any further."""


_MARK = object()
_OPAQUE = object()
"""A list, set or other value of which nothing has to be known."""


class _Walk:
    """One way through a file of pickles.

    Args:
        skips: whether an array's raw bytes are skipped, as joblib does, or read on as ``pickle.load`` does.
    """

    def __init__(self, file: BinaryIO, *, torch: bool, skips: bool) -> None:
        self.found: dict[Suspicion, None] = {}
        self.ends = False
        self.n_pickles = 0
        self.n_arrays = 0
        self.calls = False
        self.unlisted: set[Global] = set()
        self._file = file
        self._torch = torch
        self._skips = skips
        begin = file.tell()
        file.seek(0, 2)
        self._size = file.tell()
        file.seek(begin)
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._frame_end = 0
        self._depth = 0
        self._astray = False
        """Reading an array's raw bytes as instructions: most of them mean nothing."""

    def run(self) -> None:
        """Follow one pickle after the other."""
        try:
            while not self.n_pickles or self._file.tell() < self._size:
                self._pickle()
                self.n_pickles += 1
        except (_Damaged, *_DAMAGED) as error:
            if self._astray:
                return
            where = f"at byte {self._file.tell()}"
            reason = f"{where}: {str(error)[:200] or type(error).__name__}"
            if self.n_pickles:
                reason = f"what follows its first {self.n_pickles} is none, {reason}"
            self._suspect("unreadable", f"a pickle that cannot be followed to its end, {reason}")
            return
        self.ends = True

    def _pickle(self) -> None:
        stack, memo = self._stack, self._memo
        self._stack, self._memo, self._frame_end = [], {}, 0
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Damaged("arrays of objects within arrays of objects")
        for opcode, argument, _ in pickletools.genops(self._file):
            if opcode.name in _CONSTANTS:
                self._stack.append(argument)
                continue
            act = self._ACTIONS.get(opcode.name)
            if act is None:
                raise _Damaged(f"the instruction {opcode.name} is not one that a model needs")
            act(self, argument)
        if len(self._stack) != 1:
            raise _Damaged(f"it ends with {len(self._stack)} values instead of one")
        if self._frame_end > self._file.tell():
            raise _Damaged("a frame that goes on behind the end")
        self._stack, self._memo = stack, memo
        self._depth -= 1

    def _suspect(self, kind: Kind, detail: str) -> None:
        if len(self.found) < _MOST:
            self.found[Suspicion(kind, detail)] = None

    def _name(self, module: object, name: object) -> Global:
        """Note a name that the file refers to."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise _Damaged("a name that is no text")
        found = Global(module, name)
        if self._astray and not (_NAME.fullmatch(module) and _NAME.fullmatch(name)):
            raise _Damaged("no name")
        if trust_of(found) is None:
            self.unlisted.add(found)
            self._suspect("code", f"it would load {found}, which is not trusted")
        return found

    def _value(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise _Damaged("a mark where a value was expected")
        return value

    def _to_mark(self) -> list[Any]:
        items = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise _Damaged("a value is missing")
        return self._stack[-1]

    def _call(self, called: object, arguments: object, degree: Trust = "call") -> Made:
        """What calling ``called`` would give, having noted whether it may be."""
        items = tuple(arguments) if isinstance(arguments, tuple) else None
        if not isinstance(called, Global):
            if not self._astray or (isinstance(called, Made) and items is not None):
                self._suspect("code", "it would call something that it makes itself")
            return Made(None)
        trust = trust_of(called)
        self.calls |= trust is None
        if trust is not None and DEGREES.index(trust) < DEGREES.index(degree):
            self._suspect("code", f"it would call {called}, which is trusted as a {trust} only")
        if items is None:
            if not self._astray:
                self._suspect("code", f"it would call {called} with arguments that cannot be followed")
            return Made(called)
        wrong = misuse(called, items) if degree == "call" else None
        if wrong is not None:
            self._suspect("bomb", wrong)
        if called.name == _RECONSTRUCTOR[0] and called.module in _RECONSTRUCTOR[1] and items:
            # The old way to make an empty instance: of its first argument.
            return self._call(items[0], _Tuple.of([]), "make")
        return Made(called, items)

    # What each instruction does; the names are pickletools'.

    def _proto(self, argument: int) -> None:
        if argument > 5:
            raise _Damaged(f"protocol {argument} is not known")

    def _frame(self, argument: int) -> None:
        self._frame_end = max(self._frame_end, self._file.tell() + argument)

    def _stop(self, _: object) -> None:
        self._top()

    def _mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def _true(self, _: object) -> None:
        self._stack.append(True)

    def _false(self, _: object) -> None:
        self._stack.append(False)

    def _opaque(self, _: object) -> None:
        self._stack.append(_OPAQUE)

    def _opaque_of_mark(self, _: object) -> None:
        self._to_mark()
        self._stack.append(_OPAQUE)

    def _empty_dict(self, _: object) -> None:
        self._stack.append({})

    def _dict(self, _: object) -> None:
        items = self._to_mark()
        self._stack.append({})
        self._set(items)

    def _append(self, _: object) -> None:
        self._value()
        self._filled()

    def _appends(self, _: object) -> None:
        self._to_mark()
        self._filled()

    def _filled(self) -> Any:
        """What is added to."""
        target = self._top()
        if isinstance(target, Global) and not self._astray:
            self._suspect("code", f"it would change {target} itself")
        return target

    def _setitem(self, _: object) -> None:
        value, key = self._value(), self._value()
        self._set([key, value])

    def _setitems(self, _: object) -> None:
        self._set(self._to_mark())

    def _set(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise _Damaged("a key without a value")
        target = self._filled()
        if isinstance(target, dict):
            target.update({k: v for k, v in zip(items[::2], items[1::2], strict=True) if isinstance(k, str)})

    def _tuple_of(self, items: list[Any]) -> None:
        made = _Tuple.of(items)
        if made.weight > _HEAVIEST:
            self._suspect("bomb", f"a few nested tuples stand for more than {_HEAVIEST} values")
            made.weight = 1
        self._stack.append(made)

    def _tuple(self, _: object) -> None:
        self._tuple_of(self._to_mark())

    def _tuple1(self, _: object) -> None:
        self._tuple_of([self._value()])

    def _tuple2(self, _: object) -> None:
        self._tuple_of([self._value() for _ in range(2)][::-1])

    def _tuple3(self, _: object) -> None:
        self._tuple_of([self._value() for _ in range(3)][::-1])

    def _empty_tuple(self, _: object) -> None:
        self._tuple_of([])

    def _pop(self, _: object) -> None:
        self._stack.pop()

    def _dup(self, _: object) -> None:
        self._stack.append(self._top())

    def _pop_mark(self, _: object) -> None:
        self._to_mark()

    def _get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def _put(self, argument: int) -> None:
        self._memo[argument] = self._top()

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._top()

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._name(module, name))

    def _stack_global(self, _: object) -> None:
        name, module = self._value(), self._value()
        self._stack.append(self._name(module, name))

    def _extension(self, argument: int) -> None:
        if not self._astray:
            self._suspect("code", f"it would load the extension of code {argument}, whatever that is")
        self._stack.append(_OPAQUE)

    def _reduce(self, _: object) -> None:
        arguments, called = self._value(), self._value()
        self._stack.append(self._call(called, arguments))

    def _inst(self, argument: str) -> None:
        arguments = _Tuple.of(self._to_mark())
        module, _, name = argument.partition(" ")
        self._stack.append(self._call(self._name(module, name), arguments))

    def _obj(self, _: object) -> None:
        called, *arguments = self._to_mark()
        self._stack.append(self._call(called, _Tuple.of(arguments)))

    def _newobj(self, _: object) -> None:
        arguments, called = self._value(), self._value()
        self._stack.append(self._call(called, arguments, "make"))

    def _newobj_ex(self, _: object) -> None:
        self._value()
        self._newobj(None)

    def _persid(self, argument: object) -> None:
        if not self._astray:
            self._suspect("code", f"it refers to something outside of the file: {str(argument)[:60]!r}")
        self._stack.append(_OPAQUE)

    def _binpersid(self, _: object) -> None:
        told = self._value()
        storage = isinstance(told, tuple) and len(told) == 5 and told[0] == "storage"
        if not (self._torch and storage and isinstance(told[1], Global)):
            self._persid("a persistent id")
            return
        self._stack.append(Made(None))

    def _build(self, _: object) -> None:
        state, target = self._value(), self._filled()
        slots = state[1] if isinstance(state, tuple) and len(state) == 2 else None
        if isinstance(slots, dict) and any(key.startswith("__") for key in slots):
            self._suspect("code", "it would replace what Python itself keeps of an object")
        if not isinstance(target, Made):
            return
        target.state = state
        if target.of != _WRAPPER or self._astray:
            return
        self.n_arrays += 1
        if not self._skips:
            self._astray = True
            self.found.clear()  # what was before the array has been seen the other way
            return
        self._stack[-1] = Made(Global("numpy", "ndarray"))
        self._skip_array(state)

    def _skip_array(self, state: object) -> None:
        """Go past the raw bytes that joblib keeps behind a wrapper, exactly as joblib would."""
        if not isinstance(state, dict) or not set(state) <= _ATTRIBUTES:
            raise _Damaged("an array of joblib without the usual description")
        here = self._file.tell()
        if self._frame_end > here:
            raise _Damaged("an array of joblib inside of a frame, where joblib would look elsewhere for it")
        width = _width(state.get("dtype"))
        if width is None:
            # Objects: joblib keeps them as a pickle of their own.
            self._pickle()
            return
        shape = state.get("shape")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise _Damaged("an array of joblib without a shape")
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self._file.read(1)
            here += 1 + int.from_bytes(padding, "little")
        end = here + math.prod(shape) * width
        if end > self._size:
            raise _Damaged(f"an array of joblib ends at byte {end}, the file at {self._size}")
        self._file.seek(end)

    _ACTIONS: ClassVar[dict[str, Callable[[_Walk, Any], None]]] = {
        name: action
        for names, action in (
            ("PROTO", _proto), ("FRAME", _frame), ("STOP", _stop), ("MARK", _mark), ("NEWTRUE", _true),
            ("NEWFALSE", _false), ("EMPTY_LIST EMPTY_SET", _opaque), ("LIST FROZENSET", _opaque_of_mark),
            ("EMPTY_DICT", _empty_dict), ("DICT", _dict), ("APPEND", _append), ("APPENDS ADDITEMS", _appends),
            ("SETITEM", _setitem), ("SETITEMS", _setitems), ("TUPLE", _tuple), ("TUPLE1", _tuple1),
            ("TUPLE2", _tuple2), ("TUPLE3", _tuple3), ("EMPTY_TUPLE", _empty_tuple), ("POP", _pop),
            ("DUP", _dup), ("POP_MARK", _pop_mark), ("GET BINGET LONG_BINGET", _get),
            ("PUT BINPUT LONG_BINPUT", _put), ("MEMOIZE", _memoize), ("GLOBAL", _global),
            ("STACK_GLOBAL", _stack_global), ("EXT1 EXT2 EXT4", _extension), ("REDUCE", _reduce),
            ("INST", _inst), ("OBJ", _obj), ("NEWOBJ", _newobj), ("NEWOBJ_EX", _newobj_ex),
            ("PERSID", _persid), ("BINPERSID", _binpersid), ("BUILD", _build),
        )
        for name in names.split()
    }  # fmt: skip


def _width(dtype: object) -> int | None:
    """Bytes per item of a dtype as a pickle makes it; None: it holds objects."""
    if not isinstance(dtype, Made) or dtype.of != _DTYPE or not dtype.arguments:
        raise _Damaged("an array of joblib without a dtype")
    code, state = dtype.arguments[0], dtype.state
    if not isinstance(code, str) or misuse(_DTYPE, [code]) is not None:
        raise _Damaged(f"an array of joblib with the dtype {str(code)[:40]!r}")
    kind = np.dtype(code)
    if kind.hasobject:
        return None
    if isinstance(state, tuple) and len(state) > 7 and kind.kind in "SUV":
        width, flags, fields = state[5], state[7], state[4]
        if width != kind.itemsize or type(flags) is not int or flags & 1 or _objects_in(fields):
            raise _Damaged("an array of joblib whose dtype contradicts itself or holds objects")
    elif kind.kind == "V":
        raise _Damaged("an array of joblib whose dtype says nothing of its fields")
    return kind.itemsize


def _objects_in(fields: object) -> bool:
    """Whether a record's fields hold objects, or cannot be told."""
    if fields is None:
        return False
    if not isinstance(fields, dict):
        return True
    return any(not isinstance(f, tuple) or not f or _width(f[0]) is None for f in fields.values())
