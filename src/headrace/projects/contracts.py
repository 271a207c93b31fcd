"""Contracts: what the services that ask a model rely on, one file each in ``contracts``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as having
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from headrace.core.errors import InvalidInput
from headrace.core.ids import check_name
from headrace.core.project import Owner
from headrace.projects.rules import BrokenRule
from headrace.projects.texts import read_typed

FOLDER = "contracts"
_SUFFIX = ".yaml"
_LARGEST_BYTES = 1_000_000
Value = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """Rows in exactly one of the three forms that ``POST /api/v1/predict/{project}`` takes."""

    record: dict[str, Value] | None = None
    records: tuple[dict[str, Value], ...] | None = None
    columns: dict[str, tuple[Value, ...]] | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The request as it is sent."""
        forms = {"record": self.record, "records": self.records, "columns": self.columns}
        return {name: rows for name, rows in forms.items() if rows is not None}

    @property
    def values(self) -> dict[str, list[Value]]:
        """The values of each input, as far as rows have one."""
        if self.columns is not None:
            return {name: list(values) for name, values in self.columns.items()}
        found: dict[str, list[Value]] = {}
        for row in self.records or (self.record or {},):
            for name, value in row.items():
                found.setdefault(name, []).append(value)
        return found

    def with_null(self, name: str) -> Request:
        """The same rows, in none of which the input ``name`` is known."""
        if self.columns is not None:
            columns = self.columns | {name: (None,) * len(self.columns[name])}
            return Request(columns=columns)
        rows = tuple(row | {name: None} for row in self.records or (self.record or {},))
        return Request(record=rows[0]) if self.records is None else Request(records=rows)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is relied on of one output, in every row.

    Attributes:
        type: ``numbers`` is a list of them, such as ``probability`` of more than two classes.
        min, max: bounds of a number, or of each in a list.
        classes: the only values that it may have.
        sum_to_one: the numbers of a list add up to 1, within one millionth.
    """

    type: Literal["number", "text", "boolean", "numbers"]
    min: float | None = None
    max: float | None = None
    classes: tuple[bool | int | float | str, ...] = ()
    sum_to_one: bool = False


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """One request, and what its sender relies on.

    Attributes:
        answer: output name to what is relied on of it.
        may_be_null: inputs that may be unknown, one at a time: the answer then keeps the same promises.
        refused: the request is refused, and the refusal names the input ``field``.
        within_ms: the median time to an answer on an otherwise idle server; ``tolerance`` is the share by
            which it may be exceeded before that counts as broken.
    """

    name: str
    request: Request
    answer: dict[str, Output] = having(default_factory=dict)
    may_be_null: tuple[str, ...] = ()
    refused: bool = False
    field: str | None = None
    within_ms: float | None = None
    tolerance: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What one service relies on; ``owner`` is whom to ask before it is broken."""

    consumer: str
    interactions: tuple[Interaction, ...]
    owner: Owner | None = None


def contract_files(folder: Path) -> dict[str, bytes]:
    """File name to content of the contracts in a project's folder; empty where there are none.

    Raises:
        InvalidInput: something there cannot be a contract, or cannot be read.
    """
    home = folder / FOLDER
    found = {}
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        if path.suffix == ".yml" or (path.suffix == _SUFFIX and (path.is_symlink() or not path.is_file())):
            raise InvalidInput(
                f"{FOLDER}/{path.name} is not read as a contract. Expected a file {FOLDER}/CONSUMER{_SUFFIX}."
            )
        if path.suffix == _SUFFIX:
            found[path.name] = _read(path)
    return found


def read_contracts(files: Mapping[str, bytes]) -> tuple[Contract, ...]:
    """The contracts that files hold, by name.

    Raises:
        InvalidInput: one cannot be used; the message lists each mistake with line and column.
    """
    return tuple(_parse(name, files[name]) for name in sorted(files))


def load_contracts(folder: Path) -> tuple[Contract, ...]:
    """The contracts that consumers have put into a project's folder. Raises as the two above do.

    Example:
        >>> load_contracts(Path("examples/flight_delay"))
        ()
    """
    return read_contracts(contract_files(folder))


def contract_schema() -> dict[str, Any]:
    """The JSON schema of a contract, for editors."""
    from pydantic import TypeAdapter

    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | TypeAdapter(Contract).json_schema()


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InvalidInput(f"{FOLDER}/{path.name} is larger than 1 MB. Keep the requests that matter.")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{FOLDER}/{path.name} cannot be read ({error.strerror}). Make it readable for you."
        ) from error


def _parse(name: str, content: bytes) -> Contract:
    shown = f"{FOLDER}/{name}"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{shown} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    return read_typed(
        text,
        Contract,
        shown,
        broken=partial(_broken_rules, name.removesuffix(_SUFFIX)),
        expected="a mapping with consumer and interactions.",
        next_step="Mend it and run 'headrace check'.",
    )


def _broken_rules(stem: str, contract: Contract) -> Iterator[BrokenRule]:
    try:
        check_name(contract.consumer, "A consumer")
        if contract.consumer != stem:
            text = f"consumer is {contract.consumer!r}: expected {stem!r}, as the file is called"
            yield BrokenRule(loc=("consumer",), text=text)
    except InvalidInput as error:
        yield BrokenRule(loc=("consumer",), text=str(error))
    if all(one.refused for one in contract.interactions):
        text = "interactions: expected at least one request that gets an answer"
        yield BrokenRule(loc=("interactions",), text=text)
    seen: set[str] = set()
    for index, one in enumerate(contract.interactions):
        if not one.name.strip() or one.name in seen:
            text = f"interactions.{index}.name is {one.name!r}: expected a name of its own"
            yield BrokenRule(loc=("interactions", index, "name"), text=text)
        seen.add(one.name)
        for key, text in (*_wrong_request(one), *_wrong_promise(one)):
            yield BrokenRule(loc=("interactions", index, key), text=f"interactions.{index}.{key}: {text}")
        for name, output in one.answer.items():
            for text in _wrong_output(output):
                loc = ("interactions", index, "answer", name)
                yield BrokenRule(loc=loc, text=f"interactions.{index}.answer.{name}: {text}")


def _wrong_request(one: Interaction) -> Iterator[tuple[str, str]]:
    if len(one.request.body) != 1:
        yield "request", "expected exactly one of record, records and columns"
    values = one.request.values
    if any(isinstance(v, float) and not isfinite(v) for column in values.values() for v in column):
        yield "request", "a number is not finite: JSON has no form for it; use null"
    unknown = sorted(set(one.may_be_null) - values.keys())
    if unknown:
        yield "may_be_null", f"{unknown[0]!r} is not in the request"


def _wrong_promise(one: Interaction) -> Iterator[tuple[str, str]]:
    if one.refused:
        if not one.field:
            yield "refused", "name the input that the refusal has to name: field"
        for key in ("answer", "may_be_null", "within_ms"):
            if getattr(one, key):
                yield key, "a request that is refused gets no answer"
    elif one.field is not None:
        yield "field", "only a refusal names an input; add refused: true"
    elif not one.answer:
        yield "answer", "name at least one output that is relied on"
    if one.within_ms is not None and not 0 < one.within_ms < float("inf"):
        yield "within_ms", f"got {one.within_ms}, expected a number above 0"
    if not 0 <= one.tolerance < float("inf"):
        yield "tolerance", f"got {one.tolerance}, expected 0 or more"


def _wrong_output(output: Output) -> Iterator[str]:
    low, high = output.min, output.max
    if output.type not in ("number", "numbers") and (low is not None or high is not None):
        yield f"min and max are for numbers, not for {output.type}"
    if any(bound is not None and not isfinite(bound) for bound in (low, high)):
        yield "min and max are finite; leave out what is not bounded"
    elif low is not None and high is not None and low > high:
        yield f"min {low:g} is above max {high:g}"
    if output.sum_to_one and output.type != "numbers":
        yield "sum_to_one is for type: numbers"
    if output.classes and output.type == "numbers":
        yield "classes are for a single value"
