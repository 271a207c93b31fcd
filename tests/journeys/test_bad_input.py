"""Faults and bad input through the real command line and server: one clear error, nothing half made."""

from __future__ import annotations

import json
import os
import random
import socket
from pathlib import Path

import pytest

from tests.journeys.conftest import Ended, Shell
from tests.journeys.server import free_port
from tests.journeys.tables import write_cars

pytestmark = pytest.mark.journey
DONE, OUR_FAULT, USAGE, GATE_FAILED, WAITS = 0, 1, 2, 3, 4


def assert_clear(ended: Ended, code: int, *said: str) -> None:
    """It ended with this code and these words, and showed nothing of our insides."""
    everything = ended.out + ended.err
    assert ended.code == code, everything
    for words in said:
        assert words in everything, everything
    for inside in ("Traceback", "Something broke", "Warning", "site-packages"):
        assert inside not in everything, everything


def init(shell: Shell, name: str, data: Path, target: str, *more: str) -> Shell:
    """A new project without its slowest variant, and a shell inside it."""
    made = shell("init", name, "--data", str(data), "--target", target, *more)
    assert_clear(made, DONE, f"Made {name}/")
    inside = Shell(home=shell.home, folder=shell.folder / name)
    charter = inside.folder / "headrace.yaml"
    lines = [line for line in charter.read_text("utf-8").splitlines() if "trainer: lightgbm" not in line]
    charter.write_text("\n".join(lines) + "\n", "utf-8")
    return inside


def rewrite(path: Path, before: str, after: str) -> None:
    """Change one passage of a file."""
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")


def nothing_made(shell: Shell) -> None:
    """Neither a release nor a model, nor files of a build that ended."""
    assert shell("release", "ls", "--json").json == []
    scratch = shell.home / "scratch"
    assert not scratch.exists() or not any(scratch.iterdir())


@pytest.fixture
def cars(shell: Shell) -> Shell:
    """A project that could be run, in a home with a validator."""
    inside = init(shell, "cars", write_cars(shell.folder / "cars.csv", 150), "price", "--key", "car_id")
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == DONE
    return inside


# -- commands ---------------------------------------------------------------------------------------


def test_init_refuses_and_leaves_nothing(shell: Shell) -> None:
    write_cars(shell.folder / "cars.csv", 20)
    (shell.folder / "empty.csv").touch()
    before = sorted(shell.folder.iterdir())
    for arguments, words in (
        (["cars", "--data", "cars.csv", "--target", "prise"], "Did you mean 'price'?"),
        (["cars", "--data", "empty.csv", "--target", "price"], "empty.csv is empty. Expected a header"),
        (["cars", "--data", "gone.csv", "--target", "price"], "no file 'gone.csv'. Give --data a CSV"),
        (["../cars", "--data", "cars.csv", "--target", "price"], "name cannot be '../cars'. Expected"),
        (["cars", "--data", "cars.csv"], "Name the column to predict with --target"),
    ):
        assert_clear(shell("init", *arguments), USAGE, words)
    as_json = shell("init", "Cars", "--data", "cars.csv", "--target", "price", "--json")
    assert_clear(as_json, USAGE)
    assert as_json.json["error"]["kind"] == "InvalidInput"
    assert sorted(shell.folder.iterdir()) == before
    assert not shell.home.exists()


@pytest.mark.slow
def test_two_runs_at_once_and_decisions_that_cannot_be_taken(cars: Shell) -> None:
    racing = [cars.start(["run"]) for _ in range(2)]
    ends = [(process.communicate(timeout=120)[0], process.returncode) for process in racing]
    assert sorted(code for _, code in ends) == [USAGE, WAITS], ends
    refused = next(out for out, code in ends if code == USAGE)
    assert "Project 'cars' is being built by another process. Wait for it" in refused
    [release] = cars("release", "ls", "--json").json
    assert release["state"] == "waiting"
    name, digest = release["id"], release["digest"]

    assert_clear(
        cars("release", "approve", name),
        USAGE,
        "may not release.approve",
        "Nobody can decide on their own work",
    )
    both = ["--role", "developer", "--role", "admin", "--role", "validator"]
    mine = ("access", "user", "add", "ann", *both)
    assert_clear(cars(*mine), USAGE, "Nobody changes their own roles")
    assert cars("access", "user", "add", "root", "--role", "admin").code == DONE
    assert cars(*mine, "--as", "root").code == DONE
    own = cars("release", "approve", name)
    assert_clear(own, USAGE, "Nobody can decide on their own work: ask somebody else")
    for wrong in (digest[:8] + "0" * 56, ""):
        assert_clear(cars("release", "approve", wrong, "--as", "reviewer"), USAGE, f"no release {wrong!r}")
    assert_clear(cars("release", "approve", name, "--as", "nobody"), USAGE, "access user add nobody --role")
    assert_clear(cars("release", "rollback", "cars"), USAGE, "Nothing of 'cars' is live. List releases")
    assert cars("release", "ls", "--json").json[0]["state"] == "waiting"

    assert_clear(cars("release", "tick", name), USAGE, "says what they looked at")
    assert_clear(
        cars("release", "tick", name, "--note", "looked at the rows"), DONE, "flight check is complete"
    )
    for _ in range(2):  # approving twice is the same as once
        assert_clear(cars("release", "approve", digest[:12], "--as", "reviewer"), DONE, "is live")
    assert_clear(cars("release", "reject", name, "--as", "reviewer"), USAGE, "already approved by 'reviewer'")
    rolled = cars("release", "rollback", "cars")
    assert_clear(rolled, USAGE, "the first release of 'cars': there is no earlier one to roll back to")
    shown = cars("release", "show", name, "--json").json
    assert shown["release"]["state"] == "live"
    assert [approval["approver"] for approval in shown["approvals"]] == ["reviewer"]
    assert cars("audit", "verify").code == DONE


def test_what_is_wrong_in_the_project_stops_a_run(cars: Shell) -> None:
    charter, code = cars.folder / "headrace.yaml", cars.folder / "project.py"
    good_charter = charter.read_text("utf-8")
    line = 1 + good_charter[: good_charter.index("min_rows:")].count("\n")
    rewrite(charter, "min_rows: 50", "min_rows: fifty")
    told = f"line {line}, column 5: gates.data.min_rows: input should be a valid integer, got 'fifty'"
    for command in ("check", "run"):
        assert_clear(cars(command), USAGE, told, "Mend it and run 'headrace check'")
    charter.write_text(good_charter)
    rewrite(charter, 'target: "price"', 'target: "prize"')
    assert_clear(cars("run"), USAGE, "has no column 'prize'", "Mend headrace.yaml or the source")
    charter.write_text(good_charter)

    assert_clear(cars("run", "--until", "soon"), USAGE, "'soon' is no date. Expected one such as 2020-01-31")
    assert_clear(
        cars("run", "--until", "2024-05-01"), USAGE, "--until needs a time column; name it as data.time"
    )

    code.write_text("import headrace\n\ndef linear(data:\n")
    assert_clear(cars("run"), USAGE, "project.py:3: SyntaxError: ")
    code.unlink()
    assert_clear(cars("run"), USAGE, "There is no project.py in", "'headrace init' writes one")
    code.write_text("import sys\nsys.exit(0)\n")
    told = "project.py:2: SystemExit: 0 (it ended the process; return or raise instead)"
    assert_clear(cars("run"), USAGE, f"No variant can be released. baseline, linear: {told}")
    nothing_made(cars)


@pytest.mark.requirement("GAT-01")
def test_segments_without_enough_good_data_and_a_variant_that_fails(cars: Shell) -> None:
    table, code = cars.folder / "data" / "cars.csv", cars.folder / "project.py"
    rare = [f"r{i},2024-01-0{i},2010,{i}000,Hydrogen,{9000 + i}" for i in range(1, 6)]
    table.write_text(table.read_text() + "\n".join(rare) + "\n")
    charter = cars.folder / "headrace.yaml"
    rewrite(
        charter, "    min_rows: 50\n", "    min_rows: 50\n    segment: fuel\n    min_rows_per_segment: 20\n"
    )
    rewrite(code, "    from sklearn.compose", "    raise ValueError('no luck')\n    from sklearn.compose")
    line = 1 + code.read_text("utf-8").splitlines().index("    raise ValueError('no luck')")
    told = f"project.py:{line} in linear: ValueError: no luck"
    ran = cars("run")
    assert_clear(ran, GATE_FAILED, f"Variant linear failed. {told}", "the simplest model is the best one")
    [release] = cars("release", "ls", "--json").json
    assert release["state"] == "refused"
    verdicts = cars("release", "show", release["id"], "--json").json["verdicts"]
    judged = next(verdict for verdict in verdicts if verdict["gate"] == "data")
    assert judged["outcome"] == "passed"
    assert "1 segments have too few good rows and are left out: Hydrogen" in judged["reason"]
    assert judged["evidence"]["segments"]["Hydrogen"] == 5
    assert judged["evidence"]["n_kept_rows"] == 150
    rewrite(charter, "min_rows_per_segment: 20", "min_rows_per_segment: 2000")
    blocked = cars("run")
    assert_clear(blocked, GATE_FAILED, "data gate", "every segment of 'fuel' has fewer than 2000 good rows")
    assert cars("release", "ls", "--json").json == [release]


@pytest.mark.slow
def test_two_thousand_columns_go_to_a_release(shell: Shell) -> None:
    dice = random.Random(0)
    names = [f"x{k}" for k in range(2000)]
    rows = [[round(dice.gauss(0, 1), 3) for _ in names] for _ in range(80)]
    wide = shell.folder / "wide.csv"
    lines = [",".join([*names, "y"]), *(",".join(map(str, [*row, round(row[0] * 3, 3)])) for row in rows)]
    wide.write_text("\n".join(lines) + "\n")
    inside = init(shell, "wide", wide, "y")
    ran = inside("run", "--json", timeout_s=400)
    assert_clear(ran, ran.code)
    assert ran.code in {GATE_FAILED, WAITS}  # 80 rows of 2,000 columns may well be too few to beat the mean
    assert {v["gate"]: v["outcome"] for v in ran.json["verdicts"]}["package"] == "passed"
    assert len(ran.json["release"]["manifest"]["features"]) == 2000


def test_a_home_that_cannot_be_one(shell: Shell) -> None:
    shell.home.write_text("mine")
    assert_clear(shell("status"), USAGE, "HEADRACE_HOME is", "which is a file. Expected a folder")
    below = Shell(home=shell.home / "below", folder=shell.folder)
    assert_clear(
        below("status"), USAGE, "nothing can be written", "set HEADRACE_HOME to a folder of your own"
    )
    assert shell.home.read_text() == "mine"
    elsewhere = {"HEADRACE_DATABASE_URL": "mysql://u:secret@h/d"}
    other = Shell(home=shell.folder / "home", folder=shell.folder, environment=elsewhere)
    refused = other("status")
    assert_clear(refused, USAGE, "HEADRACE_DATABASE_URL", "Expected sqlite:///FILE or postgresql://")
    assert "secret" not in refused.err
    assert not other.home.exists()


def test_a_home_that_is_read_only(shell: Shell) -> None:
    if os.geteuid() == 0:
        pytest.skip("runs as root, whom no mode keeps from writing")
    shell.home.mkdir(mode=0o500)
    try:
        assert_clear(shell("status"), USAGE, "where nothing can be written", "Make it writable for this user")
        assert list(shell.home.iterdir()) == []
    finally:
        shell.home.chmod(0o700)


# -- the server -------------------------------------------------------------------------------------


def test_of_two_servers_that_start_at_once_one_is_refused(shell: Shell) -> None:
    assert shell("status").code == DONE
    starting = [shell.start(["up", "--json", "--port", str(free_port())]) for _ in range(2)]
    try:
        first = [json.loads(process.stdout.readline()) for process in starting if process.stdout is not None]
        assert sorted("url" in said for said in first) == [False, True], first
        refused = next(said["error"] for said in first if "error" in said)
        assert refused["kind"] == "Conflict"
        assert "This home is served already" in refused["message"]
    finally:
        for process in starting:
            process.terminate()
            process.communicate(timeout=30)


def test_a_port_that_is_taken_or_none(shell: Shell) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = shell("up", "--port", str(holder.getsockname()[1]), "--json")
    assert_clear(taken, USAGE, "Stop what listens there, or choose another: headrace up --port")
    assert taken.json["error"]["kind"] == "Conflict"
    elsewhere = shell("up", "--host", "192.0.2.1", "--port", str(free_port()))
    assert_clear(elsewhere, USAGE, "192.0.2.1 is no address of this machine", "Expected 127.0.0.1")
    assert_clear(shell("up", "--port", "0"), USAGE, "--port")
