"""Requests for one row: read by a type that is made of the model's inputs, answered from a prepared text.

What is not plain - a gap in the names, another order of tensors, parameters - reads as None and is left to
the ordinary way, which takes it or says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import nan
from operator import itemgetter
from typing import Any

import msgspec

from headrace.core.record import Prediction
from headrace.serving import oip
from headrace.serving.heads import Form
from headrace.serving.models import LoadedModel
from headrace.serving.record_form import encode_answer
from headrace.serving.tensors import FITS

_ONE = ([1], [1, 1])
_TYPES: dict[str, Any] = {"number": float | None, "text": str | None, "boolean": bool | None}
_CLASSES: dict[str, frozenset[type]] = {
    "number": frozenset((float, int, type(None))),
    "text": frozenset((str, type(None))),
    "boolean": frozenset((bool, type(None))),
}
_ID, _LABEL = "0198c0de-0000-7000-8000-0123456789ab", "a label that no model has"
_FIRST_NUMBER = 1_000_000.5
_PREPARE_MS, _INFER_MS = 3_000_000.5, 4_000_000.5
_OWN = (_ID, str(_PREPARE_MS), str(_INFER_MS))
"""Marks in an answer beside those of the outputs."""
_encode = msgspec.json.Encoder().encode


class OneRow:
    """Reads and answers requests for one row of one model.

    Args:
        project: what the model answers for.

    Example::

        one = OneRow("cars", loaded, "live")
        values = one.read("tensors", body)
    """

    def __init__(self, project: str, loaded: LoadedModel, arm: str) -> None:
        self.loaded = loaded
        self._expected = tuple((name, _CLASSES[kind]) for name, kind in loaded.kinds)
        self._numbers = tuple(place for place, (_, kind) in enumerate(loaded.kinds) if kind == "number")
        self._categories = tuple((known.place, known.categories) for known in loaded.known)
        self._record = _record_decoder(loaded.kinds)
        self._texts = {
            "tensors": _Text(
                lambda sample: oip.encode_infer(sample, loaded.version).body, project, loaded, arm
            ),
            "record": _Text(lambda sample: encode_answer(sample, loaded.version), project, loaded, arm),
        }

    @staticmethod
    def can(loaded: LoadedModel) -> bool:
        """Whether a model's rows can be answered in this way: from nothing but values."""
        classes = loaded.model.classes
        return (
            loaded.model.task != "forecasting"
            and all(kind in _TYPES for _, kind in loaded.kinds)
            and all(item.required for item in loaded.inputs)
            and not any(isinstance(label, bool) for label in classes or ())
        )

    def read(self, form: Form, body: bytes) -> Sequence[Any] | None:
        """The row's values in the model's order, None for a gap; or None: the body is not plain."""
        try:
            values = self._tensors(body) if form == "tensors" else self._record(body)
        except (ValueError, OverflowError, RecursionError):  # a whole number may be too large for any float
            return None
        if values is None:
            return None
        # Every number is finite: JSON has no form for others, and the decoder refuses what is too large.
        for place, categories in self._categories:
            if values[place] not in categories and self.loaded.unseen_in_row(values):
                return None
        return values

    def complete(self, values: Sequence[Any]) -> Sequence[Any]:
        """As the model takes them: a missing number is NaN."""
        if None not in values:
            return values
        filled = list(values)
        for place in self._numbers:
            if filled[place] is None:
                filled[place] = nan
        return filled

    def write(
        self, form: Form, prediction_id: str, outputs: Sequence[Any], prepare_ms: float, infer_ms: float
    ) -> bytes:
        """The body of an answer."""
        return self._texts[form].fill(prediction_id, outputs, prepare_ms, infer_ms)

    def _tensors(self, body: bytes) -> Sequence[Any] | None:
        request = oip.read_request(body)
        inputs = request.inputs
        if (
            request.id is not None
            or request.parameters
            or request.outputs
            or len(inputs) != len(self._expected)
        ):
            return None
        values = []
        for tensor, (name, classes) in zip(inputs, self._expected, strict=True):
            data = tensor.data
            if (
                tensor.name != name
                or data is None
                or tensor.shape not in _ONE
                or len(data) != 1
                or tensor.parameters is not None
            ):
                return None
            kind = data[0].__class__
            if kind not in classes or kind not in FITS.get(tensor.datatype, ()):
                return None
            values.append(float(data[0]) if kind is int else data[0])
        return values


def _record_decoder(kinds: Sequence[tuple[str, str]]) -> Callable[[bytes], Sequence[Any]]:
    """Reads ``{"record": {...}}`` with exactly these names."""
    fields = [
        (f"value_{place}", _TYPES[kind], msgspec.field(name=name)) for place, (name, kind) in enumerate(kinds)
    ]
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    request = msgspec.defstruct("Request", [("record", row)], forbid_unknown_fields=True, gc=False)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(request).decode
    plain = msgspec.structs.astuple

    def read(body: bytes) -> Sequence[Any]:
        return plain(decode(body).record)

    return read


class _Text:
    """An answer's body with places to fill in, taken from an answer that the protocol's own encoder wrote."""

    def __init__(
        self, encode: Callable[[Prediction], bytes], project: str, loaded: LoadedModel, arm: str
    ) -> None:
        classes = loaded.model.classes
        n_probabilities = 0 if not classes else (len(classes) if len(classes) > 2 else 1)
        numbers = [_FIRST_NUMBER + number for number in range(n_probabilities + 1)]
        label: Any = numbers[0] if not classes or not isinstance(classes[0], str) else _LABEL
        outputs: dict[str, list[Any]] = {"predict": [label]}
        if classes:
            outputs["probability"] = [numbers[1:] if n_probabilities > 1 else numbers[1]]
        moment = datetime(2020, 1, 1, tzinfo=UTC)
        sample = Prediction(
            id=_ID,
            project=project,
            release_id=loaded.release_id,
            arm=arm,
            principal="",
            at=moment,
            event_time=moment,
            n_rows=1,
            columns={},
            outputs=outputs,
            prepare_ms=_PREPARE_MS,
            infer_ms=_INFER_MS,
        )
        # Numbers grow, so that the confidence, which is the largest probability, is the last of them again.
        self._classified, self._flat = bool(classes), n_probabilities <= 1
        wanted = [_encode(value).decode() for value in (label, *numbers[1:], *numbers[1:][-1:])]
        marks = "|".join(re.escape(text) for text in {_ID, *wanted, str(_PREPARE_MS), str(_INFER_MS)})
        text = encode(sample).decode()
        found = re.findall(marks, text)
        given = [mark for mark in found if mark not in _OWN]
        assert given == wanted, "the encoder changed the order of outputs"
        places = iter(range(len(_OWN), len(_OWN) + len(given)))
        literal = [part.replace("%", "%%") for part in re.split(marks, text)]
        self._text = "%b".join(literal).encode()
        self._in_order = itemgetter(*(_OWN.index(mark) if mark in _OWN else next(places) for mark in found))

    def fill(self, prediction_id: str, outputs: Sequence[Any], prepare_ms: float, infer_ms: float) -> bytes:
        """The body; ``outputs`` are the label or number and, for classes, the probabilities."""
        values = outputs
        if self._classified:
            probability = outputs[1]
            if self._flat:
                values = [*outputs, max(probability, 1.0 - probability)]
            else:
                values = [outputs[0], *probability, max(probability)]
        own = (prediction_id.encode(), b"%.4f" % prepare_ms, b"%.4f" % infer_ms)
        body: bytes = self._text % self._in_order((*own, *map(_encode, values)))
        return body
