"""What plain models say of every row of a table, none of which has learnt from that row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.data.encoding import Encoding
from headrace.data.frames import n_rows

FOLDS = 5
_MOST_WORDS = 50_000


def out_of_fold(
    columns: Columns, encoding: Encoding, target: NDArray[Any], *, classifies: bool, seed: int = 0
) -> NDArray[np.float64]:
    """Probabilities ``(n_rows, n_classes)`` or predictions ``(n_rows,)``, each by a model without its fold.

    Gradient boosting; with a text input, a linear model of its words and of the other inputs.

    Args:
        target: positions of classes, int64, or numbers, float64; ``(n_rows,)``, without missing ones.

    Raises:
        InvalidInput: scikit-learn is not installed, or a class has fewer rows than there are folds.
    """
    try:
        from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    except ImportError as error:
        raise InvalidInput(
            "Finding doubtful labels needs scikit-learn. Install it with: pip install 'headrace[ml]'"
        ) from error
    counts = np.bincount(target) if classifies else np.array([n_rows(columns)])
    if counts.min() < FOLDS:
        raise InvalidInput(
            f"{counts.min()} rows are too few to learn without some of them. Expected {FOLDS} of each class."
        )
    model, features = _model(columns, encoding, classifies=classifies, seed=seed)
    folds = (StratifiedKFold if classifies else KFold)(FOLDS, shuffle=True, random_state=seed)
    method = "predict_proba" if classifies else "predict"
    found = cross_val_predict(model, features, target, cv=folds, method=method)
    return np.asarray(found, dtype=np.float64)


def _model(columns: Columns, encoding: Encoding, *, classifies: bool, seed: int) -> tuple[Any, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    encoded = encoding.encode(columns)
    texts = [column.name for column in encoding.inputs if column.role == "text"]
    if texts:
        return _linear(columns, encoding, encoded, texts, classifies=classifies)
    few = encoding.categorical_indexes if all(len(c.categories) <= 250 for c in encoding.inputs) else ()
    made = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    return made(categorical_features=list(few) or None, random_state=seed), encoded


def _linear(
    columns: Columns, encoding: Encoding, encoded: Any, texts: list[str], *, classifies: bool
) -> tuple[Any, Any]:
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    # Which words there are, and where numbers lie, says nothing about labels: it may be learnt from all rows.
    parts = [
        TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=_MOST_WORDS).fit_transform(
            ["" if value is None else str(value) for value in np.asarray(columns[name]).tolist()]
        )
        for name in texts
    ]
    categories = list(encoding.categorical_indexes)
    numbers = [at for at, column in enumerate(encoding.inputs) if column.role == "numeric"]
    if categories:
        parts.append(OneHotEncoder(handle_unknown="ignore").fit_transform(encoded[:, categories]))
    if numbers:
        parts.append(np.nan_to_num(StandardScaler().fit_transform(encoded[:, numbers])))
    model = LogisticRegression(C=10.0, max_iter=1_000) if classifies else Ridge()
    return model, hstack(parts).tocsr()
