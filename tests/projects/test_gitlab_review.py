"""What GitLab's job ``reviewed`` makes of what GitLab says, over a real socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from headrace.projects.deployment_files import deployment_files
from headrace.testing import make_project

COMMIT = "0a1b2c"
ANN, BO, GUEST = ({"id": i, "username": name} for i, name in ((1, "ann"), (2, "bo"), (3, "guest")))
MERGED = {"iid": 7, "state": "merged", "target_branch": "main", "author": ANN}
BEFORE, PUSHED, AFTER = (f"2026-11-02T{hour}:00:00.000Z" for hour in ("09", "10", "11"))
LEVELS = {1: 40, 2: 30, 3: 10}


def by(user: dict[str, Any], at: str | None = AFTER) -> dict[str, Any]:
    return {"user": user} if at is None else {"user": user, "approved_at": at}


#: Name to merge requests of the commit, approvals of number 7, and what the job ends with.
CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], int]] = {
    "by another": ([MERGED], [by(BO)], 0),
    "by the author": ([MERGED], [by(ANN)], 1),
    "by a passer-by": ([MERGED], [by(GUEST)], 1),
    "before the last push": ([MERGED], [by(BO, BEFORE)], 1),
    "nobody knows when": ([MERGED], [by(BO, None)], 1),
    "not merged": ([MERGED | {"state": "opened"}], [by(BO)], 1),
    "into another branch": ([MERGED | {"target_branch": "trial"}], [by(BO)], 1),
    "none": ([MERGED], [], 1),
    "pushed past every merge request": ([], [by(BO)], 1),
}


@contextmanager
def gitlab(answers: dict[str, Any]) -> Iterator[str]:
    """A server that answers these paths to whoever has the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["PRIVATE-TOKEN"] == "read-only" and self.path in answers
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *_: object, **__: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def reviewed(tmp_path: Path, url: str, token: str = "read-only", **project: Any) -> tuple[int, str]:
    script = tmp_path / "gitlab_reviewed.py"
    files = deployment_files(make_project(**project), python="3.11")
    script.write_text(files["deploy/gitlab_reviewed.py"])
    told = {"CI_API_V4_URL": url, "CI_PROJECT_ID": "5", "CI_COMMIT_SHA": COMMIT, "CI_DEFAULT_BRANCH": "main"}
    command = [sys.executable, "-I", str(script)]
    environment = told | {"REVIEW_TOKEN": token}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def answers_of(merges: list[dict[str, Any]], approvals: list[dict[str, Any]]) -> dict[str, Any]:
    versions = [{"created_at": PUSHED}, {"created_at": BEFORE}]
    found = {
        f"repository/commits/{COMMIT}/merge_requests": merges,
        "merge_requests/7/versions": versions,
        "merge_requests/7/approvals": {"approved_by": approvals},
    } | {f"members/all/{user}": {"access_level": level} for user, level in LEVELS.items()}
    return {f"/projects/5/{path}": answer for path, answer in found.items()}


@pytest.mark.requirement("GAT-12")
@pytest.mark.parametrize("case", CASES)
def test_what_nobody_else_approved_after_the_last_push_goes_no_further(tmp_path: Path, case: str) -> None:
    merges, approvals, code = CASES[case]
    with gitlab(answers_of(merges, approvals)) as url:
        ended, said = reviewed(tmp_path, url)
    assert ended == code, said
    assert (f"{COMMIT} was approved by bo." in said) == (code == 0)


def test_a_high_risk_asks_for_two_and_without_a_token_nothing_is_said_to_be_reviewed(tmp_path: Path) -> None:
    with gitlab(answers_of([MERGED], [by(BO), by(BO)])) as url:
        assert reviewed(tmp_path, url)[0] == 0
        ended, said = reviewed(tmp_path, url, risk="high")
        assert (ended, "1 of 2 others" in said) == (1, True), "one person counts once"
        ended, said = reviewed(tmp_path, url, token="")
    assert (ended, "REVIEW_TOKEN is not set" in said) == (1, True)
