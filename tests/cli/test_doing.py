"""Commands that change something: projects, identities, tokens, checks, and a port that is taken."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.app.operations import declare
from headrace.testing import make_settings
from tests.cli.conftest import Cli
from tests.plugins.test_tensorboard import write_run

TABLE = "id,year,price\n" + "".join(f"{i},{2000 + i % 20},{1000 + 37 * (i % 20) + i}\n" for i in range(60))


@pytest.fixture
def made(cli: Cli) -> Cli:
    """A project in the present folder, and that folder entered."""
    Path("cars.csv").write_text(TABLE)
    assert cli("init", "cars", "--data", "cars.csv", "--target", "price", "--key", "id").code == 0
    return cli


def test_init_says_what_it_made_and_what_comes_next(cli: Cli) -> None:
    Path("cars.csv").write_text(TABLE)
    ended = cli("init", "cars", "--data", "cars.csv", "--target", "price")
    assert ended.out.startswith("Made cars/: regression of 'price', judged by mae.")
    assert ended.out.splitlines()[-1] == "Next: cd cars && headrace check && headrace run"
    assert not cli.home.exists(), "a project is a folder; nothing is known of it yet"


def test_init_writes_what_it_is_to_be_worth(cli: Cli) -> None:
    Path("cars.csv").write_text(TABLE)
    worth = ("--value", "Fair prices sell.", "--kpi", "days to sale", "--expected", "1200 EUR in 6 months")
    notes = cli("init", "cars", "--data", "cars.csv", "--target", "price", *worth, "--json").json["notes"]
    assert not any("hypothesis" in note for note in notes)
    text = Path("cars/headrace.yaml").read_text(encoding="utf-8")
    assert 'hypothesis: "Fair prices sell."' in text
    assert "expected: 1200.0" in text


def test_init_as_json(cli: Cli) -> None:
    Path("cars.csv").write_text(TABLE)
    said = cli("init", "cars", "--data", "cars.csv", "--target", "price", "--json").json
    assert (said["task"], said["metric"]) == ("regression", "mae")
    assert Path(said["folder"]).name == "cars"
    assert isinstance(said["notes"], list)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init", "cars", "--data", "gone.csv", "--target", "price"), "There is no file 'gone.csv'"),
        (("init", "cars", "--data", "cars.csv", "--target", "prise"), "price"),
        (("init", "Cars", "--data", "cars.csv", "--target", "price"), "cannot be 'Cars'"),
        (("init", "cars", "--data", "cars.csv", "--target", "price", "--template", "forecasting"), "--time"),
    ],
)
def test_init_refuses_with_a_reason_and_leaves_nothing(
    cli: Cli, arguments: tuple[str, ...], message: str
) -> None:
    Path("cars.csv").write_text(TABLE)
    ended = cli(*arguments)
    assert ended.code == 2
    assert message in ended.error
    assert [path.name for path in Path.cwd().iterdir()] == ["cars.csv"]


def test_a_new_project_is_ready(made: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("cars")
    ended = made("check")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "Ready. Next: headrace run")
    marks = {line[6:20].strip(): line[2:4] for line in ended.out.splitlines() if line[5:6] == " "}
    assert (marks["owner"], marks["contracts"]) == ("ok", "  "), "what is not there is no success"
    said = made("check", "--json").json
    assert {item["name"] for item in said["items"] if not item["there"]} >= {"contracts", "business metric"}
    assert said["missing_trainers"] == []
    assert all(item["ticked"] for item in said["items"])


def test_an_unticked_item_fails_the_check(made: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("cars")
    charter = Path("headrace.yaml")
    text = charter.read_text().replace("trainer: linear", "trainer: unheard")
    charter.write_text(text.replace('name: "ada"', 'name: ""'))
    ended = made("check")
    assert ended.code == 3
    assert "owner" in ended.error
    assert "trainers missing in project.py: unheard" in ended.error
    assert "next: fill owner.name" in ended.out
    as_json = made("check", "--json")
    assert (as_json.code, as_json.json["missing_trainers"]) == (3, ["unheard"])


@pytest.mark.requirement("PRV-08")
def test_a_missing_basis_is_named_once(made: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("cars")
    charter = Path("headrace.yaml")
    charter.write_text(charter.read_text().replace("basis: not_personal", "basis: null"))
    ended = made("check")
    assert ended.code == 3
    assert ended.error == (
        "The flight check is not complete: lawful-basis: nobody says why the data may be used."
    )
    assert ended.out.count("basis") == 2, "the control, and what to do about it"
    assert ended.out.count("next: ") == 1


def test_check_and_run_want_a_project(cli: Cli) -> None:
    ended = cli("check")
    assert ended.code == 2
    assert "There is no headrace.yaml" in ended.error


@pytest.mark.parametrize("date", ["yesterday", "2020-13-01"])
def test_a_date_that_is_none_is_refused_before_anything_is_done(cli: Cli, date: str) -> None:
    ended = cli("run", "--until", date)
    assert ended.code == 2
    assert "is no date. Expected one such as 2020-01-31." in ended.error
    assert not cli.home.exists()


def test_people_are_added_and_changed(cli: Cli) -> None:
    assert cli("status").code == 0
    ended = cli("access", "user", "add", "grace", "--role", "validator", "--json")
    assert (ended.json["name"], ended.json["roles"]) == ("grace", ["validator"])
    assert cli("access", "user", "add", "grace", "--role", "viewer").out == "grace is viewer.\n"
    listed = {p["name"]: p["roles"] for p in cli("access", "user", "ls", "--json").json}
    assert listed == {"ada": ["developer", "operator", "admin"], "grace": ["viewer"]}


def test_who_may_not_add_people_cannot(cli: Cli) -> None:
    cli("access", "user", "add", "vera", "--role", "viewer")
    ended = cli("access", "user", "add", "mallory", "--role", "admin", "--as", "vera")
    assert ended.code == 2
    assert "access.write" in ended.error
    assert "mallory" not in cli("access", "user", "ls").out


def test_a_role_that_is_none_is_refused(cli: Cli) -> None:
    ended = cli("access", "user", "add", "grace", "--role", "king")
    assert ended.code == 2
    assert "king" in ended.error


def test_somebody_unknown_may_do_nothing(cli: Cli) -> None:
    cli("access", "user", "add", "vera", "--role", "viewer")
    stranger = Cli(home=cli.home, user="mallory")
    for arguments in (("status",), ("access", "token"), ("release", "ls")):
        ended = stranger(*arguments)
        assert ended.code == 2
        assert "headrace access user add" in ended.error


def test_a_token_is_for_one_identity_and_some_minutes(cli: Cli) -> None:
    cli("access", "user", "add", "grace", "--role", "validator")
    said = cli("access", "token", "--as", "grace", "--minutes", "5", "--json").json
    assert (said["principal"], said["ttl_s"]) == ("grace", 300)
    assert said["token"].count(".") == 2
    assert cli("access", "token").out.strip().count(".") == 2


def test_doctor_lists_what_it_looked_at(cli: Cli) -> None:
    ended = cli("doctor", "--json")
    assert ended.code in (0, 3)
    assert {"home", "disk", "audit", "server"} <= {item["name"] for item in ended.json}
    assert "chain intact" in cli("doctor").out


def test_a_port_that_is_taken_is_refused_with_another_one(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = cli("up", "--port", str(port))
    assert ended.code == 2
    assert f"Port {port} on 127.0.0.1 is in use" in ended.error


def test_a_home_that_cannot_be_one_is_refused(cli: Cli) -> None:
    cli.home.write_text("a file")
    ended = cli("status")
    assert ended.code == 2
    assert "HEADRACE_HOME" in ended.error


def test_what_is_printed_as_json_is_one_document(made: Cli) -> None:
    for arguments in (
        ("status",),
        ("project", "ls"),
        ("release", "ls"),
        ("doctor",),
        ("access", "user", "ls"),
    ):
        assert json.loads(made(*arguments, "--json").out) is not None


@pytest.mark.slow
@pytest.mark.requirement("EXP-06")
@pytest.mark.filterwarnings("ignore")  # MLflow's own code, on the newest of everything
def test_runs_of_another_tool_are_imported_once_and_listed_with_the_project_s_own(made: Cli) -> None:
    with open_app(make_settings(made.home, user=made.user)) as app:
        declare(app, app.me(), Path("cars"))
    write_run(Path("events") / "first")
    wanted = "model", "import-runs", "events", "--project", "cars"
    first, again = made(*wanted), made(*wanted, "--json")
    assert first.code == 0, first.error
    assert [line.split()[-1] for line in first.out.splitlines()] == ["IMPORTED", "now", "now"]
    assert [one["new"] for one in again.json] == [False, False]
    assert "first/tuned" in made("model", "runs", "cars").out
    nothing = made("model", "import-runs", "cars", "--project", "cars")
    assert (nothing.code, "holds no run that has ended" in nothing.error) == (2, True)
