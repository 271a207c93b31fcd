"""A process that runs one durable workflow and may be killed: ``driver.py FOLDER VERB``.

The workflow takes three steps; each leaves a line in ``FOLDER/effects``. Between the second and the third
it waits for a message. Verbs: ``die-between N`` kills the process (SIGKILL) after the record of step N,
``die-in N`` after its effect and before its record, ``wait`` leaves it waiting and ends cleanly, and
``finish`` goes on with whatever was left, sends the message and prints what the workflow returned.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from headrace.app.durable import Durable
from headrace.core.clock import SystemClock
from headrace.store import open_store
from headrace.testing import make_settings

FOLDER, VERB, AT = Path(sys.argv[1]), sys.argv[2], int((*sys.argv, "0")[3])
CLOCK = SystemClock()
SETTINGS = make_settings(FOLDER / "home")
STORE = open_store(SETTINGS, CLOCK)
DURABLE = Durable(database_url=SETTINGS.workflows_url, executors=STORE.executors, clock=CLOCK, role="command")


def note(number: int) -> int:
    """The effect of a step."""
    with (FOLDER / "effects").open("a", encoding="utf-8") as file:
        file.write(f"{number}\n")
    if ("die-in", number) == (VERB, AT):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * 10


def work(start: int) -> list[object]:
    """The workflow."""
    results: list[object] = [start]
    for number in (1, 2, 3):
        if number == 3:
            results.append(DURABLE.receive("go", 60.0))
        results.append(DURABLE.step(f"step {number}", note, number))
        if ("die-between", number) == (VERB, AT):
            os.kill(os.getpid(), signal.SIGKILL)
    return results


DURABLE.launch({"work": work})
DURABLE.start("work", "w1", 7)
if VERB == "wait":
    while len((FOLDER / "effects").read_text().split() if (FOLDER / "effects").exists() else ()) < 2:
        CLOCK.sleep(0.02)
if VERB == "finish":
    DURABLE.send("w1", "go", "sent", "once")
    DURABLE.send("w1", "go", "sent again", "once")
if VERB != "wait":
    print(DURABLE.result("w1"), flush=True)  # noqa: T201 - a program
DURABLE.close()
STORE.close()
os._exit(0)
