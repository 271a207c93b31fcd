"""Loaded models, by release: each loaded once, evicted when no route names it any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import Any, NamedTuple, Protocol

from headrace.core.errors import HeadraceError, Unavailable
from headrace.core.ports import Clock, Columns, Scorer
from headrace.data.encoding import Encoding

_log = logging.getLogger(__name__)
RETRY_S = 5.0


class Input(Protocol):
    """What a model expects of one input column."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def kind(self) -> str:
        """``number``, ``text``, ``time`` or ``boolean``."""

    @property
    def required(self) -> bool:
        """Whether it must be there; otherwise the model fills it in."""


class Model(Scorer, Protocol):
    """A scorer that says what it expects, and has a fast way for one row."""

    @property
    def inputs(self) -> Sequence[Any]:
        """One :class:`Input` each, in the order in which ``score_row`` takes values."""

    @property
    def task(self) -> str:
        """``classification``, ``regression`` or ``forecasting``."""

    @property
    def encoding(self) -> Encoding | None:
        """What training saw of each input; none for a model without an encoding of ours."""

    @property
    def inline(self) -> bool:
        """Whether a few rows take microseconds; if not, the event loop must not wait for them."""

    def score_row(self, values: Sequence[Any]) -> Mapping[str, Any]:
        """Predict one row: output name to value."""

    def complete(self, columns: Columns) -> Columns:
        """Add inputs that the model computes itself, such as lags."""


class Known(NamedTuple):
    """The categories of one input, as training saw them; ``place`` is its index among the inputs.

    Attributes:
        empty_is_null: whether text of nothing but spaces is a gap.
    """

    place: int
    name: str
    categories: frozenset[Any]
    empty_is_null: bool = False

    def unseen(self, value: object) -> bool:
        """Whether ``value`` is a category that training never saw; a gap is none. As in the encoding,
        spaces around a category do not count."""
        if value is None or value in self.categories or (isinstance(value, float) and isnan(value)):
            return False
        return not (isinstance(value, str) and value.strip() in self.categories)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model ready to answer, with what the door needs to know about it.

    Attributes:
        kinds: name and kind of each input, in the model's order.
        known: what training saw of each input that is a category.
    """

    release_id: str
    version: str
    model: Model
    inputs: tuple[Input, ...]
    kinds: tuple[tuple[str, str], ...]
    names: frozenset[str]
    known: tuple[Known, ...]

    @cached_property
    def gaps(self) -> frozenset[str]:
        """The inputs of which empty text is a gap, as it is in a CSV file."""
        return frozenset(known.name for known in self.known if known.empty_is_null)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What an answer may be asked for: the model's outputs and, where it has classes, its confidence."""
        return (*self.model.outputs, "confidence") if self.model.classes else tuple(self.model.outputs)

    def unseen_in_row(self, row: Sequence[Any]) -> list[str] | None:
        """Inputs of one row that hold an unseen category; none is the usual case."""
        return [known.name for known in self.known if known.unseen(row[known.place])] or None

    def unseen(self, columns: Columns) -> list[str] | None:
        """Inputs that hold an unseen category in any row; none is the usual case."""
        names = [k.name for k in self.known if any(k.unseen(v) for v in set(columns[k.name].tolist()))]
        return names or None


class _Broken(NamedTuple):
    message: str
    until_s: float


class LoadedModels:
    """Models by release id.

    Args:
        load: makes the model of a release; called once per release and process.
        version_of: the model version that a release carries; the release id when not given.
    """

    def __init__(
        self, load: Callable[[str], Model], clock: Clock, *, version_of: Callable[[str], str] | None = None
    ) -> None:
        self._load = load
        self._clock = clock
        self._version_of = version_of
        self._loaded: dict[str, LoadedModel] = {}
        self._broken: dict[str, _Broken] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, release_id: str) -> LoadedModel | None:
        """The model, if it is in memory. Never blocks."""
        return self._loaded.get(release_id)

    def get(self, release_id: str) -> LoadedModel:
        """The model, loaded on first use; blocks while it loads.

        Raises:
            Unavailable: it cannot be loaded; it is tried again at most every 5 s.
        """
        found = self._loaded.get(release_id)
        if found is not None:
            return found
        with self._lock:
            lock = self._locks.setdefault(release_id, threading.Lock())
        with lock:
            found = self._loaded.get(release_id)
            if found is not None:
                return found
            broken = self._broken.get(release_id)
            if broken is not None and self._clock.monotonic_s() < broken.until_s:
                raise Unavailable(broken.message)
            return self._load_now(release_id)

    def forgive(self, release_id: str) -> None:
        """Let the next :meth:`get` try to load a model that could not be loaded, however short ago."""
        self._broken.pop(release_id, None)

    def why_broken(self, release_id: str) -> str | None:
        """Why it could not be loaded when that was last tried; none when it could or nobody has tried."""
        broken = self._broken.get(release_id)
        return None if broken is None else broken.message

    def keep(self, release_ids: Collection[str]) -> None:
        """Load what routes name before a request asks for it, and forget everything else."""
        for release_id in release_ids:
            try:
                self.get(release_id)
            except Unavailable:
                # It has been logged; whoever asks for this release gets the reason.
                continue
        for kept in (self._loaded, self._broken, self._locks):
            for release_id in list(kept):
                if release_id not in release_ids:
                    kept.pop(release_id, None)

    def _load_now(self, release_id: str) -> LoadedModel:
        try:
            model = self._load(release_id)
            inputs = tuple(model.inputs)
            loaded = LoadedModel(
                release_id=release_id,
                version=self._version_of(release_id) if self._version_of else release_id,
                model=model,
                inputs=inputs,
                kinds=tuple((item.name, item.kind) for item in inputs),
                names=frozenset(item.name for item in inputs),
                known=_known(model, inputs),
            )
        except Exception as error:
            # Boundary: a package may hold anything, and one that does not load must not end the server.
            reason = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
            _log.exception("The model of release %s cannot be loaded", release_id)
            message = (
                f"The model of release {release_id} cannot be loaded ({reason}). "
                "Roll back to the release before: headrace release rollback PROJECT."
            )
            self._broken[release_id] = _Broken(message, self._clock.monotonic_s() + RETRY_S)
            raise Unavailable(message) from error
        self._broken.pop(release_id, None)
        self._loaded[release_id] = loaded
        return loaded


def _known(model: Model, inputs: Sequence[Input]) -> tuple[Known, ...]:
    places = {item.name: index for index, item in enumerate(inputs)}
    return tuple(
        Known(places[column.name], column.name, frozenset(column.categories), column.empty_is_null)
        for column in (model.encoding.inputs if model.encoding else ())
        if column.role == "categorical" and column.name in places
    )
