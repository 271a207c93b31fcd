"""Requests that are wrong, and answers to unusual ones: the protocol's own error, and no trace of ours."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from headrace.core.clock import SystemClock
from headrace.data.sources import read_file, write_parquet
from headrace.testing import FakeClock, make_principal, make_tokens
from tests.journeys.conftest import Shell
from tests.journeys.server import client_of, free_port, serving
from tests.journeys.test_bad_input import assert_clear, init

pytestmark = pytest.mark.journey
DONE, OUR_FAULT, USAGE, GATE_FAILED, WAITS = 0, 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Live:
    """Two classifiers that answer, in one home."""

    shell: Shell
    url: str
    ann: httpx.Client
    reviewer: httpx.Client
    releases: dict[str, str]

    def answered(self, project: str) -> int:
        """Requests in the durable record."""
        counted = self.ann.get(f"/api/v1/projects/{project}/predictions/count").json()
        return int(counted["requests"])


def write_flags(path: Path) -> Path:
    """Semicolons, decimal commas, Windows line ends, a byte-order mark, NaN, infinity, and odd names."""
    dice = random.Random(1)
    lines = ["größe;flag;select;won"]
    for index in range(200):
        size, flag = dice.gauss(0, 1), dice.random() < 0.5
        won = size + (1 if flag else -1) + dice.gauss(0, 0.5) > 0
        shown = {3: "inf", 4: "-inf", 5: "NaN", 6: ""}.get(index % 40, f"{size:.4f}".replace(".", ","))
        lines.append(f"{shown};{str(flag).lower()};{dice.choice('xyz')};{str(won).lower()}")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode())
    return path


def write_grades(path: Path) -> Path:
    """A Parquet file with a target of three words that is null in some rows."""
    dice = random.Random(2)
    lines = ["a,b,grade"]
    for index in range(240):
        a, b = dice.gauss(0, 1), dice.gauss(0, 1)
        grade = "high" if a + b > 0.7 else "low" if a + b < -0.7 else "mid"
        lines.append(f"{a:.4f},{b:.4f},{'' if index % 17 == 0 else grade}")
    text = path.with_suffix(".csv")
    text.write_text("\n".join(lines) + "\n")
    write_parquet(read_file(text), path)
    return path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("live")
    (root / "work").mkdir()
    shell = Shell(home=root / "home", folder=root / "work")
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == DONE
    releases = {}
    for name, data, target in (
        ("flags", write_flags(root / "flags.csv"), "won"),
        ("grades", write_grades(root / "grades.parquet"), "grade"),
    ):
        ran = init(shell, name, data, target)("run", "--json")
        assert ran.code == WAITS, ran.out + ran.err
        releases[name] = ran.json["release"]["id"]
        assert shell("release", "tick", releases[name], "--note", "looked at the rows").code == 0
        approved = shell("release", "approve", releases[name], "--as", "reviewer", "--json")
        assert approved.json["state"] == "live", approved.err
    with (
        serving(shell) as url,
        client_of(shell, url, "ann") as ann,
        client_of(shell, url, "reviewer") as reviewer,
    ):
        yield Live(shell=shell, url=url, ann=ann, reviewer=reviewer, releases=releases)


def tensor(name: str, datatype: str, *data: Any) -> dict[str, Any]:
    """One input of an Open Inference Protocol request."""
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": list(data)}


FLAG = (tensor("größe", "FP64", 1.5), tensor("flag", "BOOL", True), tensor("select", "BYTES", "x"))
INFER = "/v2/models/flags/infer"


@pytest.mark.slow
def test_an_idle_connection_is_left_by_the_client_and_not_by_the_server(live: Live) -> None:
    pools_s = 5.0  # for so long httpx keeps an idle connection, and uvicorn would, too
    assert live.ann._transport._pool._keepalive_expiry == pools_s  # type: ignore[attr-defined]
    address = urlsplit(live.url)
    asked = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=pools_s + 2) as link:
        for _ in range(2):
            link.sendall(asked)
            answer = link.recv(1 << 16)
            while not answer.endswith(b"}"):  # head and body may come one after the other
                answer += link.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200")
            with pytest.raises(TimeoutError):
                link.recv(1)  # nothing comes, and it is not closed


def test_a_second_server_on_the_same_home_is_refused(live: Live) -> None:
    second = live.shell("up", "--port", str(free_port()))
    assert_clear(second, USAGE, f"This home is served already at {live.url}. Stop that server, use another")
    assert live.ann.get("/v2/models/flags/ready").status_code == 200


@pytest.mark.requirement("SRV-01")
def test_boolean_and_text_targets_are_answered(live: Live) -> None:
    model = live.ann.get("/v2/models/flags").json()
    kinds = {item["name"]: item["datatype"] for item in model["inputs"]}
    assert kinds == {"größe": "FP64", "flag": "BOOL", "select": "BYTES"}
    before = live.answered("flags")
    one = live.ann.post(INFER, json={"inputs": FLAG}).json()
    predicted, probability, confidence = (output["data"] for output in one["outputs"])
    assert predicted == [True]
    assert 0.9 < probability[0] <= 1
    assert confidence == probability
    answered = one["parameters"]
    assert (answered["release"], answered["arm"]) == (live.releases["flags"], "live")
    assert answered["infer_ms"] > 0
    nulls = [tensor("größe", "FP64", None), tensor("flag", "BOOL", None), tensor("select", "BYTES", None)]
    assert live.ann.post(INFER, json={"inputs": nulls}).status_code == 200

    graded = live.ann.post(
        "/v2/models/grades/infer",
        json={"inputs": [tensor("a", "FP64", 2.0, -2.0), tensor("b", "FP64", 1.0, -1.0)]},
    ).json()
    grades, shares, sure = graded["outputs"]
    assert sure["data"] == [max(shares["data"][:3]), max(shares["data"][3:])]
    assert grades["data"] == ["high", "low"]
    assert (shares["shape"], sum(shares["data"])) == ([2, 3], pytest.approx(2.0))
    assert live.answered("flags") == before + 2


def test_categories_never_seen_are_answered_and_flagged(live: Live) -> None:
    unseen = [*FLAG[:2], tensor("select", "BYTES", "omega")]
    answer = live.ann.post(INFER, json={"inputs": unseen})
    assert answer.status_code == 200
    assert answer.json()["parameters"]["unseen"] == ["select"]
    record = {"größe": 0.5, "flag": False, "select": "omega"}
    plain = live.ann.post("/api/v1/predict/flags", json={"records": [record]}).json()
    assert plain["unseen"] == ["select"]


BAD_BODIES: tuple[tuple[str, str], ...] = (
    (json.dumps({"inputs": FLAG[1:]}), "Input 'größe' is missing (1 missing: größe). Expected: größe, flag"),
    (json.dumps({"inputs": [*FLAG, tensor("hue", "FP64", 1.0)]}), "no input 'hue'."),
    (json.dumps({"inputs": [*FLAG[1:], tensor("große", "FP64", 1)]}), "Did you mean 'größe'?"),
    (json.dumps({"inputs": [*FLAG, FLAG[0]]}), "Input 'größe' occurs twice. Expected each input once"),
    (json.dumps({"inputs": [*FLAG[1:], tensor("größe", "BYTES", "5")]}), "got '5'. Expected a finite number"),
    (json.dumps({"inputs": [*FLAG[1:], tensor("größe", "FP64", "5")]}), "Expected a value of its datatype"),
    (json.dumps({"inputs": [FLAG[0], FLAG[2], tensor("flag", "INT64", 1)]}), "Expected true, false or null"),
    (json.dumps({"inputs": [*FLAG[:2], tensor("select", "FP64", 1.0)]}), "got 1.0. Expected text or null"),
    (
        json.dumps({"inputs": [*FLAG[1:], tensor("größe", "FP64", float("nan"))]}),
        "got nan. Expected a finite",
    ),
    (
        json.dumps({"inputs": [*FLAG[1:], tensor("größe", "FP64", float("inf"))]}),
        "JSON has no NaN or infinity",
    ),
    (json.dumps({"inputs": FLAG}).replace("1.5", "1e999"), "got inf. Expected a finite number or null"),
    (json.dumps({"inputs": FLAG}).replace("1.5", "9" * 5000), "out of range"),
    (json.dumps({"inputs": [*FLAG[1:], tensor("größe", "FP64", 1, 2)]}), "Expected the same number"),
    (json.dumps({"inputs": FLAG}).replace("[1]", "[2]"), "has shape [2] and 1 values. Expected 2 values"),
    (json.dumps({"inputs": FLAG}).replace("FP64", "FP63"), "has datatype 'FP63'. Expected one of FP64"),
    (json.dumps({"inputs": FLAG, "parameters": {"event_time": "soon"}}), "Expected a time in ISO 8601"),
    (
        json.dumps({"inputs": FLAG, "parameters": {"keys": ["a", "b"]}}),
        "has 2 entries. Expected one for each",
    ),
    (json.dumps({"inputs": FLAG, "parameters": {"key": "k" * 300}}), "has 300 characters. Expected at most"),
    (
        json.dumps({"inputs": FLAG, "outputs": [{"name": "nope"}]}),
        "no output 'nope'. Expected one of predict",
    ),
    (json.dumps({"inputs": []}), "missing"),
    ("{}", "missing required field `inputs`"),
    ("[1", "is no infer request"),
    ("", "is no infer request"),
    ("[" * 100_000, "is no infer request"),
)


def test_bad_requests_get_the_protocols_error_and_are_not_recorded(live: Live) -> None:
    before = live.answered("flags")
    for body, words in BAD_BODIES:
        answer = live.ann.post(INFER, content=body.encode())
        assert answer.status_code == 400, (words, answer.text)
        assert list(answer.json()) == ["error"]
        found = answer.json()["error"].lower()
        assert words.lower() in found
        assert "expected" in found
    assert live.ann.post(INFER, content=b'{"inputs":[{"name":"\xff"}]}').status_code == 400
    too_long = live.ann.post(INFER, content=b" " * ((8 << 20) + 1))
    assert (too_long.status_code, list(too_long.json())) == (413, ["error"])
    assert "Send the rows in several requests" in too_long.json()["error"]
    assert live.ann.get(INFER).status_code == 405
    for path in ("nope", "..%2f..%2fetc", "%00", "a" * 5000, "flags/versions/99"):
        unknown = live.ann.post(f"/v2/models/{path}/infer", json={"inputs": FLAG})
        assert (unknown.status_code, list(unknown.json())) == (404, ["error"]), path
        assert len(unknown.json()["error"]) < 500
    assert live.answered("flags") == before


def test_who_does_not_say_who_is_asking_gets_nothing(live: Live) -> None:
    keys = live.shell.home / "keys"
    tokens = make_tokens(keys, FakeClock(SystemClock().now() - timedelta(minutes=20)))
    expired = tokens.issue(make_principal(name="ann"))
    unknown = make_tokens(keys, SystemClock()).issue(make_principal(name="stranger"))
    valid = live.ann.headers["authorization"].removeprefix("Bearer ")
    head, claims, signature = valid.split(".")
    with httpx.Client(base_url=live.url, trust_env=False) as client:
        for token in (None, "abc", "a.b.c", expired, unknown, f"{head}.{claims}AA.{signature}", "x" * 10_000):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            for path in (INFER, "/api/v1/predict/flags", "/api/v1/labels/flags", "/v2/models/nope/infer"):
                refused = client.post(path, headers=headers, json={"inputs": FLAG})
                assert refused.status_code == 401, (token, path, refused.text)
                assert refused.headers["www-authenticate"] == "Bearer"
                said = refused.json().get("error") or refused.json()["detail"]
                assert "headrace access" in said or "no longer known" in said, said
        assert "expired" in client.post(INFER, headers={"Authorization": f"Bearer {expired}"}).json()["error"]
        assert client.get("/healthz").status_code == 200
    for path, body in (
        (INFER, {"inputs": FLAG}),
        ("/api/v1/predict/flags", {"records": [{"größe": 1, "flag": True, "select": "x"}]}),
        ("/api/v1/labels/flags", {"labels": [{"subject": "s", "value": True}]}),
    ):
        wrong = live.reviewer.post(path, json=body)
        assert wrong.status_code == 403
        assert "Roles that may: " in wrong.text
        assert "developer, operator, admin." in wrong.text
    own = live.ann.post(f"/api/v1/releases/{live.releases['flags']}/approve", json={})
    assert own.status_code == 403


def test_labels_that_cannot_be_true_are_refused(live: Live) -> None:
    record = {"größe": 0.5, "flag": False, "select": "x"}
    subject = live.ann.post("/api/v1/predict/flags", json={"records": [record]}).json()["subjects"][0]
    url = "/api/v1/labels/flags"
    for value, words in (
        ("yes", "is a number, true or false"),
        (1e39, "Expected text, true, false or a number up to"),
        ([1], "valid boolean"),
        (None, "valid boolean"),
    ):
        refused = live.ann.post(url, json={"labels": [{"subject": subject, "value": value}]})
        assert refused.status_code in {400, 422}, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert words in refused.json()["detail"]
    nan = live.ann.post(
        url, content=b'{"labels":[{"subject":"s","value":NaN}]}', headers={"content-type": "application/json"}
    )
    assert nan.status_code == 422
    for changed in ({"subject": ""}, {"observed_at": "soon"}, {"kind": "rumour"}, {"extra": 1}):
        refused = live.ann.post(url, json={"labels": [{"subject": subject, "value": True} | changed]})
        assert refused.status_code == 422, refused.text
    wordy = live.ann.post("/api/v1/labels/grades", json={"labels": [{"subject": "s", "value": 1}]})
    assert (wordy.status_code, "is text" in wordy.json()["detail"]) == (400, True)
    unknown = live.ann.post("/api/v1/labels/nope", json={"labels": [{"subject": "s", "value": 1}]})
    assert unknown.status_code == 404
    good = live.ann.post(url, json={"labels": [{"subject": subject, "value": True}]})
    assert (good.status_code, good.json()["stored"]) == (200, 1)
    watched = live.ann.post("/api/v1/projects/flags/watch")
    assert watched.status_code == 200, watched.text


def test_the_api_explains_what_is_wrong(live: Live) -> None:
    url = "/api/v1/predict/flags"
    record = {"größe": 0.5, "flag": False, "select": "x"}
    for body, status, words in (
        ({"records": [{"größe": 0.5}]}, 400, "Input 'flag' is missing"),
        ({"records": [record | {"hue": 1}]}, 400, "no input 'hue'"),
        ({"records": [record | {"größe": "big"}]}, 400, "Expected a finite number or null"),
        ({"records": [record, {"größe": 0.5}]}, 400, "Expected the same names in every record"),
        ({"records": [record | {"größe": [1]}]}, 422, "records.0.größe"),
        ({"records": []}, 422, "at least 1 item"),
        ({}, 422, "exactly one of record, records and columns is expected"),
    ):
        refused = live.ann.post(url, json=body)
        assert refused.status_code == status, refused.text
        assert words in refused.json()["detail"]
    for path in ("/releases/nope/approve", "/releases/" + "0" * 64 + "/approve"):
        assert live.reviewer.post("/api/v1" + path, json={}).status_code == 404
    other_digest = {"digest": "0" * 64}
    refused = live.reviewer.post(f"/api/v1/releases/{live.releases['flags']}/approve", json=other_digest)
    assert refused.status_code == 422
    first = live.ann.post("/api/v1/projects/flags/rollback")
    assert first.status_code in {403, 404}
