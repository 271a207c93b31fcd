"""Which columns of a table look as if they were about people."""

from __future__ import annotations

from collections import Counter

from headrace.access.privacy.recognisers import Kind, find
from headrace.core.ports import Columns

SAMPLE = 1000
LEAST_SHARE = 0.1


def personal_columns(columns: Columns) -> dict[str, Kind]:
    """Text columns in which a tenth of the values or more hold something recognised, and what most often.

    At most 1,000 values of each are read, evenly over the rows. Names have no form, and are not noticed.

    >>> import numpy as np
    >>> personal_columns({"to": np.array(["ada@example.org", None], dtype=object), "n": np.array([1.0, 2.0])})
    {'to': 'email'}
    """
    found: dict[str, Kind] = {}
    for name, values in columns.items():
        if values.dtype.kind != "O":
            continue
        step = max(1, len(values) // SAMPLE)
        texts = [value for value in values[::step] if isinstance(value, str)]
        kinds = Counter(hit.kind for text in texts for hit in find(text)[:1])
        if texts and kinds.total() >= LEAST_SHARE * len(texts):
            found[name] = kinds.most_common(1)[0][0]
    return found
