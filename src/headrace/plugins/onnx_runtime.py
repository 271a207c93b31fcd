"""ONNX Runtime tells its makers nothing of the models that run here.

From version 1.29 on it sends their names and digests as soon as it is loaded, unless this stands before.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
