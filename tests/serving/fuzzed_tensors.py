"""Fuzzes the reader of infer requests with raw tensors, led by which of its lines a body reaches.

``python -m tests.serving.fuzzed_tensors -runs=N -seed=S``, options of libFuzzer. It ends with an error as
soon as a body is neither read as it says nor refused.
"""

from __future__ import annotations

import json
import resource
import sys
from math import prod
from typing import Any

import atheris

with atheris.instrument_imports(include=["headrace.serving"]):
    from headrace.core.errors import InvalidInput
    from headrace.serving import oip
    from headrace.serving.inputs import Matrix
    from headrace.serving.tensors import FITS

_MOST_BYTES = 2 << 30
_DATATYPES = [*FITS, "FP16", "BF16", "TEXT"]


def read(data: bytes) -> None:
    """Read one body: of tensors as the protocol has them but for their sizes, with some bytes of the JSON
    replaced now and then."""
    given = atheris.FuzzedDataProvider(data)
    tensors = [_tensor(given, name) for name in "xyz"[: given.ConsumeIntInRange(1, 3)]]
    header = json.dumps({"inputs": tensors}).encode()
    if given.ConsumeProbability() < 0.2:
        at = given.ConsumeIntInRange(0, len(header))
        header = header[:at] + given.ConsumeBytes(8) + header[at + given.ConsumeIntInRange(0, 8) :]
        tensors = []
    length = len(header) if given.ConsumeProbability() < 0.9 else given.ConsumeIntInRange(-2, len(header) + 9)
    body = header + given.ConsumeBytes(given.remaining_bytes())  # last: it takes what is left
    try:
        call = oip.decode_infer(body, length or None)
    except InvalidInput:
        return
    if isinstance(call.values, Matrix):
        assert len({len(column) for column in call.values.columns}) == 1
    elif tensors and length == len(header):
        sizes = {tensor["name"]: prod(tensor["shape"]) for tensor in tensors}
        assert {name: len(column) for name, column in call.values.items()} == sizes


def _tensor(given: atheris.FuzzedDataProvider, name: str) -> dict[str, Any]:
    shape = [given.ConsumeIntInRange(-1, 4) for _ in range(given.ConsumeIntInRange(1, 2))]
    tensor = {"name": name, "shape": shape, "datatype": given.PickValueInList(_DATATYPES)}
    return tensor | {"parameters": {"binary_data_size": given.ConsumeIntInRange(-1, 40)}}


if __name__ == "__main__":
    # libFuzzer's own limit is on the greatest size so far, which Linux passes on from the process that starts
    # this one: one of tests may have had more.
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    atheris.Setup([*sys.argv, "-rss_limit_mb=0"], read)
    atheris.Fuzz()
