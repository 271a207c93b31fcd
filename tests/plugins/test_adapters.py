"""What an organisation has already is used through adapters; nothing of one that was not chosen is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_HEAVY = (
    "aio_pika", "confluent_kafka", "mlflow", "opentelemetry.sdk", "presidio_analyzer", "pynvml", "ray",
    "sacred", "tensorboard",
)  # fmt: skip


def ran(program: str, home: Path) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    environment["HEADRACE_HOME"] = str(home)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.requirement("ORG-16")
def test_a_laptop_loads_nothing_of_a_system_that_nobody_chose(tmp_path: Path) -> None:
    program = (
        "import json, sys\n"
        "from headrace.app.composition import open_app\n"
        "from headrace.core.settings import read_settings\n"
        "with open_app(read_settings()) as app: app.store.projects.list()\n"
        f"print(json.dumps([name for name in {_HEAVY!r} if name in sys.modules]))"
    )
    assert ran(program, tmp_path / "home") == []


@pytest.mark.requirement("ORG-13")
def test_checks_are_a_library_without_a_home_a_project_or_a_server(tmp_path: Path) -> None:
    program = (
        "import json, sys, numpy as np\n"
        "from headrace.checks.fairness import compare_groups\n"
        "chosen = np.array([True, False, True, True])\n"
        "groups = compare_groups(np.array(['a', 'a', 'b', 'b'], dtype=object), chosen, chosen)\n"
        "assert [(g.name, g.rates['selection_rate'].rate) for g in groups] == [('a', 0.5), ('b', 1.0)]\n"
        "rooms = ('app', 'web', 'releases', 'monitoring', 'serving', 'training')\n"
        "print(json.dumps([room for room in rooms if f'headrace.{room}' in sys.modules]))"
    )
    assert ran(program, tmp_path / "home") == []
    assert list(tmp_path.iterdir()) == []
