"""The estimator as the user's trainer returned it: the yardstick that its package must equal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.tasks import answers_classes
from headrace.core.errors import UserCodeError
from headrace.core.project import Task
from headrace.training.definition import describe

Answers = dict[str, NDArray[np.float64]]


class Original:
    """Asks a fitted estimator and checks the form of its answers.

    Args:
        where: file and line of its trainer, for messages.
        classes: the labels that codes stand for; an estimator may answer with either.

    Raises:
        UserCodeError: it is no estimator that Headrace can use for ``task``.
    """

    def __init__(
        self,
        estimator: Any,
        task: Task,
        n_classes: int,
        folder: Path,
        where: str,
        classes: Sequence[Any] = (),
    ) -> None:
        self._estimator = estimator
        self._n_classes = n_classes
        self._labels = list(classes)
        self._code_of: dict[Any, int] | None = None
        self._folder = folder
        self._where = where
        self._kind = type(estimator).__name__
        self._classifies = answers_classes(task)
        if estimator is None:
            raise UserCodeError(
                f"{where}: the trainer returned None. Expected a fitted estimator; "
                "end the function with 'return model'."
            )
        needed = "predict_proba" if self._classifies else "predict"
        if not callable(getattr(estimator, needed, None)):
            raise UserCodeError(
                f"{where}: the trainer returned a {self._kind}, which has no {needed}. Expected a fitted "
                f"estimator for {task}."
            )
        if self._classifies:
            self._check_classes()

    def answers(self, X: Any) -> Answers:
        """To rows as an array ``(n_rows, n_features)`` or a data frame.

        ``predict`` is ``(n_rows,)``, for classification positions of classes, and then there is also
        ``probability``, ``(n_rows, n_classes)``.

        Raises:
            UserCodeError: the estimator raised, or answered in another form.
        """
        if not len(X):
            empty: Answers = {"predict": np.empty(0)}
            return {**empty, "probability": np.empty((0, self._n_classes))} if self._classifies else empty
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an array where a frame was fitted, a category never seen
                predicted = self._codes(self._estimator.predict(X))
                raw = self._estimator.predict_proba(X) if self._classifies else None
        except Exception as error:  # user code may raise anything
            reason = describe(error, self._folder, "predict").removeprefix("project.py in predict: ")
            raise UserCodeError(f"{self._where}: the {self._kind} cannot predict: {reason}") from error
        self._check_shape("predict", predicted, (len(X),))
        if raw is None:
            return {"predict": predicted}
        probability = np.asarray(raw, dtype=np.float64)
        self._check_shape("predict_proba", probability, (len(X), self._n_classes))
        return {"predict": predicted, "probability": probability}

    def _codes(self, predicted: Any) -> NDArray[np.float64]:
        if self._code_of is not None:
            listed = np.asarray(predicted).tolist()
            predicted = [self._code_of.get(label, -1) for label in listed]
        numbers = np.asarray(predicted, dtype=np.float64)
        return numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers

    def description(self) -> dict[str, Any]:
        """Class and parameters, as text where they have no JSON form."""
        params = {}
        if callable(getattr(self._estimator, "get_params", None)):
            params = self._estimator.get_params(deep=False)
        kept = {k: v if isinstance(v, bool | int | str | None) else repr(v) for k, v in params.items()}
        return {"type": f"{type(self._estimator).__module__}.{self._kind}", "params": kept}

    def _check_classes(self) -> None:
        found = np.asarray(getattr(self._estimator, "classes_", range(self._n_classes))).tolist()
        if found == self._labels and found:
            self._code_of = {label: code for code, label in enumerate(found)}
        elif found != list(range(self._n_classes)):
            raise UserCodeError(
                f"{self._where}: the {self._kind} knows the classes {found[:10]}. Expected "
                f"0 to {self._n_classes - 1}, the values of data.y; fit it on all of them."
            )

    def _check_shape(self, what: str, values: NDArray[np.float64], expected: tuple[int, ...]) -> None:
        if values.shape != expected:
            raise UserCodeError(
                f"{self._where}: {what} of the {self._kind} has shape {values.shape}. Expected {expected}."
            )
