"""The payloads of MLflow's scoring server: bytes to a call, an answer to bytes. Knows no HTTP.

Source: MLflow, "Deploy MLflow Model as a Local Inference Server" (JSON with exactly one of four fields beside
``params``, or CSV with a line of headings).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from io import StringIO
from typing import Any, NamedTuple, NoReturn

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.record import Prediction
from headrace.serving.inputs import Matrix, read_time
from headrace.store.documents import convert

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_GAPS = frozenset(("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"))
_BOOLEANS = {"true": True, "false": False}
_ENCODE = msgspec.json.Encoder().encode
Columns = dict[str, list[Any]]


class _Params(msgspec.Struct, forbid_unknown_fields=True):
    key: str | None = None
    keys: list[str] | None = None
    event_time: str | None = None
    version: str | None = None
    explain: bool = False
    callback: str | None = None


class InvocationCall(NamedTuple):
    """A scoring request in our own terms."""

    values: Columns | Matrix
    key: str | None = None
    keys: list[str] | None = None
    event_time: datetime | None = None
    version: str | None = None
    explain: bool = False
    callback: str | None = None


def read_json(body: bytes) -> InvocationCall:
    """Read one of the four JSON forms, and ``params``: ``key``, ``keys``, ``event_time``, ``version``,
    ``explain``, ``callback``.

    ``NaN``, which MLflow's client writes for a gap, is one here too.

    Raises:
        InvalidInput: it is none of them; the message names the field.
    """
    document = _parsed(body)
    given = [form for form in FORMS if form in document]
    if len(given) != 1:
        raise InvalidInput(
            f"The body has the fields {_few(document)}. Expected exactly one of {', '.join(FORMS)}."
        )
    unknown = document.keys() - {*FORMS, "params"}
    if unknown:
        raise InvalidInput(f"The body has a field {_few(unknown)}. Expected {given[0]!r} and 'params' only.")
    payload = document[given[0]]
    match given[0]:
        case "dataframe_split":
            values: Columns | Matrix = _split(payload)
        case "dataframe_records":
            values = _records(payload, "dataframe_records")
        case "instances":
            values = _instances(payload)
        case _:
            values = _inputs(payload)
    try:
        params = convert(document.get("params") or {}, _Params)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"'params': {error}. Expected some of key, keys, event_time, version, explain and callback."
        ) from error
    moment = None if params.event_time is None else read_time(params.event_time, "'params.event_time'")
    return InvocationCall(
        values, params.key, params.keys, moment, params.version, params.explain, params.callback
    )


def read_csv(body: bytes, kinds: Mapping[str, str]) -> InvocationCall:
    """Read CSV with headings; an empty cell, and what pandas takes for one, is a gap.

    Args:
        kinds: input name to kind. A column of text stays text, even if it looks like numbers; any other is
            numbers, or true and false, when all its cells are.

    Raises:
        InvalidInput: it is no such table.
    """
    try:
        rows = list(csv.reader(StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"The body is no CSV in UTF-8: {error}.") from error
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise InvalidInput("The CSV has no rows. Expected a line of headings and one line per row.")
    names = rows[0]
    for index, row in enumerate(rows[1:]):
        if len(row) != len(names):
            raise InvalidInput(
                f"Row {index} of the CSV has {len(row)} cells. Expected {len(names)}, one per heading."
            )
    columns = (
        _typed([row[place] for row in rows[1:]], kinds.get(name, "")) for place, name in enumerate(names)
    )
    return InvocationCall(_unique(names, columns))


def encode_answer(prediction: Prediction, version: str, explanation: Any = None) -> bytes:
    """``predictions``, as MLflow answers, and beside it who answered and how sure and how quick it was."""
    outputs = prediction.outputs
    beside: dict[str, Any] = {
        "id": prediction.id,
        "version": version,
        "release": prediction.release_id,
        "arm": prediction.arm,
        "prepare_ms": prediction.prepare_ms,
        "infer_ms": prediction.infer_ms,
    }
    if prediction.confidence is not None:
        beside |= {"probability": outputs["probability"], "confidence": prediction.confidence}
    if prediction.unseen:
        beside["unseen"] = prediction.unseen
    if explanation is not None:
        beside["explanation"] = explanation
    return _ENCODE({"predictions": outputs["predict"], **beside})


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        try:
            document = msgspec.json.decode(body)
        except msgspec.DecodeError:
            # The strict reader knows no NaN, which the standard library writes.
            document = json.loads(body.decode(), parse_constant=_constant)
            _ENCODE(document)  # and it takes texts and numbers that nothing else has a form for
    except (ValueError, RecursionError, OverflowError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"The body is no JSON: {reason}.") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"The body is no JSON object. Expected one with one of {', '.join(FORMS)}.")
    return document


def _constant(text: str) -> None:
    if text != "NaN":
        raise ValueError(f"{text} has no form in JSON")


def _split(payload: Any) -> Columns:
    if not isinstance(payload, dict) or not isinstance(payload.get("data"), list):
        _expected("dataframe_split", '{"columns": [...], "data": [[...], ...]}')
    names, rows = payload.get("columns"), payload["data"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        _expected("dataframe_split", "a list of names in 'columns'")
    return _unique(names, _by_place(rows, len(names), "dataframe_split.data"))


def _records(payload: Any, what: str) -> Columns:
    if not isinstance(payload, list) or not all(isinstance(record, dict) for record in payload):
        _expected(what, "a list of objects, one per row")
    names = payload[0].keys() if payload else ()
    for index, record in enumerate(payload):
        odd = sorted(record.keys() ^ names)
        if odd:
            raise InvalidInput(
                f"{what}[{index}] and {what}[0] differ in {odd[0][:80]!r}. Expected the same names in every "
                "row. Send null where a value is not known."
            )
    return {name: [record[name] for record in payload] for name in names}


def _instances(payload: Any) -> Columns | Matrix:
    """Row by row: objects, or lists of values."""
    if isinstance(payload, list) and payload and isinstance(payload[0], dict):
        return _records(payload, "instances")
    return _matrix(payload, "instances")


def _inputs(payload: Any) -> Columns | Matrix:
    """By column: an object of lists (or of one value each, for one row); or rows as lists."""
    if isinstance(payload, dict):
        return {
            name: _flat(column) if isinstance(column, list) else [column] for name, column in payload.items()
        }
    if isinstance(payload, list) and payload and isinstance(payload[0], dict):
        return _records(payload, "inputs")
    return _matrix(payload, "inputs")


def _flat(column: list[Any]) -> list[Any]:
    """A column may stand upright, as arrays of shape ``(n, 1)`` do."""
    if column and all(isinstance(value, list) and len(value) == 1 for value in column):
        return [value[0] for value in column]
    return column


def _matrix(payload: Any, what: str) -> Matrix:
    if not isinstance(payload, list):
        _expected(what, "a list of rows, or an object of columns")
    if not payload:
        raise InvalidInput(f"{what!r} has 0 rows. Expected at least one.")
    width = len(payload[0]) if isinstance(payload[0], list) else 1
    rows = payload if isinstance(payload[0], list) else [[value] for value in payload]
    return Matrix(_by_place(rows, width, what))


def _by_place(rows: list[Any], width: int, what: str) -> list[list[Any]]:
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            raise InvalidInput(f"{what}[{index}] is no list of {width} values. Expected one per column.")
    return [[row[place] for row in rows] for place in range(width)]


def _unique(names: list[str], columns: Iterable[list[Any]]) -> Columns:
    found: Columns = {}
    for name, column in zip(names, columns, strict=True):
        if name in found:
            raise InvalidInput(f"Input {name[:80]!r} occurs twice. Expected each input once.")
        found[name] = column
    return found


def _typed(cells: list[str], kind: str) -> list[Any]:
    if kind == "text":
        return [None if cell in _GAPS else cell for cell in cells]
    present = [cell for cell in cells if cell not in _GAPS]
    if present and all(cell.lower() in _BOOLEANS for cell in present):
        return [None if cell in _GAPS else _BOOLEANS[cell.lower()] for cell in cells]
    try:
        return [None if cell in _GAPS else float(cell) for cell in cells]
    except ValueError:
        return [None if cell in _GAPS else cell for cell in cells]


def _few(names: Iterable[str] | Mapping[str, Any]) -> str:
    shown = sorted(name[:40] for name in names)[:10]
    return ", ".join(map(repr, shown)) or "(none)"


def _expected(what: str, expected: str) -> NoReturn:
    raise InvalidInput(f"{what!r} has another form. Expected {expected}.")
