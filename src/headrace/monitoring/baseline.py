"""What a release is compared with once it is live: kept with it, part of its digest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.drift import Profile
from headrace.checks.estimation import LossModel
from headrace.checks.images import ImageProfile
from headrace.checks.texts import TextProfile
from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Column
from headrace.store.documents import from_plain
from headrace.training.features import FeatureStore, FeatureVersion

MEDIA_TYPE = "application/vnd.headrace.baseline+json"
_MOST_LOSSES = 5000


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Profiles and losses of the data a model was made from.

    Attributes:
        inputs: distributions of the training rows' inputs; where there are ``features``, the feature store's.
        outputs: distribution of the predictions on the test rows.
        losses: per-row losses on the test rows, in row order, at most 5,000.
        residuals: truth minus prediction on the same rows; empty for classification.
        loss: their mean over all test rows.
        trained_until: newest event time among the training rows; None without a time column.
        n_labels: rows with truth that the model has learnt from.
        classes: classification only: the labels in the order of the probabilities.
        loss_model: what loss to expect of other rows; None where the test rows could not tell.
        features: the versions of feature sets that the model was trained on, as the feature store keeps them;
            none where the model was not trained here, or before there was one.
        texts: lengths, scripts and words of the training rows' text inputs, and sizes and brightness of
            its images, as they would be recorded.
    """

    inputs: Profile
    outputs: Profile
    metric: str
    loss: float
    losses: NDArray[np.float64]
    trained_until: datetime | None
    n_labels: int
    residuals: NDArray[np.float64]
    classes: tuple[str | float | bool, ...] | None = None
    loss_model: LossModel | None = None
    features: tuple[FeatureVersion, ...] = ()
    texts: Mapping[str, TextProfile | ImageProfile] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Canonical JSON. Of what the feature store keeps it says only which version that is."""
        served = bool(self.features)
        return canonical_json(
            {
                "format": 2 if served else 1,
                **({"features": self.features} if served else {"inputs": self.inputs.to_dict()}),
                "outputs": self.outputs.to_dict(),
                "metric": self.metric,
                "loss": self.loss,
                "losses": [float(v) for v in self.losses],
                "residuals": [float(v) for v in self.residuals],
                "trained_until": self.trained_until,
                "n_labels": self.n_labels,
                "classes": self.classes,
                "loss_model": None if self.loss_model is None else self.loss_model.to_dict(),
            }
            | ({"texts": {n: text.to_dict() for n, text in self.texts.items()}} if self.texts else {})
        )

    @classmethod
    def from_bytes(cls, data: bytes, features: FeatureStore) -> Baseline:
        """Read what :meth:`to_bytes` wrote, with the inputs' distributions from the feature store.

        Raises:
            InvalidInput: it is something else.
            NotFound, InternalError: the feature store has not the very version that it names.
        """
        try:
            raw: dict[str, Any] = json.loads(data)
            until, expected = raw["trained_until"], raw.get("loss_model")
            served = tuple(from_plain(FeatureVersion, one) for one in raw.get("features", ()))
            return cls(
                inputs=features.baseline(served) if served else Profile.from_dict(raw["inputs"]),
                features=served,
                outputs=Profile.from_dict(raw["outputs"]),
                metric=raw["metric"],
                loss=raw["loss"],
                losses=np.array(raw["losses"], dtype=np.float64),
                residuals=np.array(raw["residuals"], dtype=np.float64),
                trained_until=None if until is None else datetime.fromisoformat(until),
                n_labels=raw["n_labels"],
                classes=None if raw["classes"] is None else tuple(raw["classes"]),
                loss_model=None if expected is None else LossModel.from_dict(expected),
                texts={n: _media(text) for n, text in raw.get("texts", {}).items()},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"A baseline cannot be read: {error!r}. Rebuild the release.") from error


def make_baseline(
    inputs: Profile,
    predictions: Any,
    losses: NDArray[np.float64],
    metric: str,
    *,
    residuals: NDArray[np.float64] | None = None,
    trained_until: datetime | None,
    classes: tuple[str | float | bool, ...] | None = None,
    loss_model: LossModel | None = None,
    features: tuple[FeatureVersion, ...] = (),
    texts: Mapping[str, TextProfile | ImageProfile] | None = None,
) -> Baseline:
    """Profile the outputs and losses on the test rows, to go with the profile of the training rows.

    Args:
        inputs: of the raw inputs of the training rows.
        predictions: the package's ``predict`` on the test rows, shape ``(n_test,)``.
        losses: per-row losses on the test rows, shape ``(n_test,)``, in event order where there is one.
        loss_model: fitted on the test rows.
        residuals: truth minus prediction on the test rows, shape ``(n_test,)``; none for classification.
        features: where the feature store has served ``inputs``, what it was asked for.
    """
    # The newest rows where there is an order: they are the nearest to what production will bring.
    kept = slice(-_MOST_LOSSES, None) if trained_until is not None else slice(_MOST_LOSSES)
    return Baseline(
        inputs=inputs,
        outputs=Profile.fit(*output_columns(predictions)),
        metric=metric,
        loss=float(losses.mean()),
        losses=np.asarray(losses[kept], dtype=np.float64),
        residuals=np.zeros(0) if residuals is None else np.asarray(residuals[kept], dtype=np.float64),
        trained_until=trained_until,
        n_labels=_n_rows(inputs, texts or {}),
        classes=classes,
        loss_model=loss_model,
        features=features,
        texts=texts or {},
    )


def _n_rows(inputs: Profile, texts: Mapping[str, TextProfile | ImageProfile]) -> int:
    measures = [one for text in texts.values() for one in text.measures.features.values()]
    return next(iter([*inputs.features.values(), *measures])).n


def text_profiles(
    training: Columns, inputs: Iterable[Column], recorded: Callable[[str, Any], Any]
) -> dict[str, TextProfile | ImageProfile]:
    """Profiles of the training rows' texts and images.

    Args:
        recorded: an input's values as they would be recorded; None of one that would not be.
    """
    kinds: dict[str, type[TextProfile | ImageProfile]] = {"text": TextProfile, "image": ImageProfile}
    seen = {c.name: (c.role, recorded(c.name, training[c.name])) for c in inputs if c.role in kinds}
    return {
        name: kinds[role].fit(np.asarray(values, dtype=object))
        for name, (role, values) in seen.items()
        if values is not None
    }


def _media(data: Mapping[str, Any]) -> TextProfile | ImageProfile:
    return TextProfile.from_dict(data) if "words" in data else ImageProfile.from_dict(data)


def output_columns(predictions: Any) -> tuple[dict[str, Any], tuple[Column, ...]]:
    """Predictions as a one-column table, so that they are profiled as inputs are."""
    values = np.asarray(predictions)
    numeric = values.dtype.kind in "fiu"
    column = Column(name="prediction", role="numeric" if numeric else "categorical")
    # True and false are recorded as numbers: their names are 1 and 0, before and after.
    names = values.astype(np.int64) if values.dtype.kind == "b" else values
    as_text = values if numeric else np.array([str(v) for v in names], dtype=object)
    return {"prediction": as_text.astype(np.float64) if numeric else as_text}, (column,)
