"""Shadow AI, through the real gateway, the command line, the API and the page."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from typer.testing import CliRunner

from headrace.app.llm.shadow_use import import_log, report, write_down
from headrace.app.llm.usage import LLM_USE
from headrace.cli.main import app as command_line
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.gateway.llm.hosts import at_host
from headrace.gateway.llm.shadow import short
from headrace.store.shadow import ShadowUse
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, USER, Desk, client

KEY = "sk-ant-api03-never-to-be-kept"
LIST = "allow:\n  - {models: [local/own], purposes: [support], data: [internal]}\n"
SQUID = "{at}.000 9 10.0.0.7 TCP_TUNNEL/200 4 CONNECT {host}:443 {user} HIER_DIRECT/1.2.3.4 -"
LOG = [
    SQUID.format(at=1772600767, host="api.openai.com", user="ann"),
    SQUID.format(at=1772604367, host="api.openai.com", user="ann"),
    "1772600767.000 9 10.0.0.8 TCP_MISS/200 4 GET https://claude.ai/chat/very-private?q=me bob D/- -",
    SQUID.format(at=1772600767, host="intranet.example", user="eve"),
    SQUID.format(at=1772600767, host="api.openai.com", user="gateway"),
    "half a line",
]


def _counted(desk: Desk) -> None:
    write_down(desk.app, desk.server.parts.gateway.permits.shadow)


def _seen(desk: Desk, kind: str) -> list[ShadowUse]:
    _counted(desk)
    return [one for one in desk.app.store.shadow.list(workspace="main") if one.subject == kind]


@pytest.fixture
def auditor(desk: Desk) -> Any:
    """Who may read the report."""
    return desk.app.identities.resolve(STRANGER)


@pytest.mark.requirement("GOV-08")
def test_every_refusal_of_a_model_that_is_not_allowed_is_counted_with_an_alternative(
    desk: Desk, auditor: Any
) -> None:
    desk.release(PROMPT, llm={"purpose": "support", "data_class": "internal"})
    dev = desk.app.identities.add("dev", ["developer"], actor=USER)
    val = desk.app.identities.add("val", ["validator"], actor=USER)
    LLM_USE.decide(desk.app, val, LLM_USE.propose(desk.app, dev, LIST).version, "approved")
    desk.server.parts.gateway.refresh()
    for _ in range(3):
        with pytest.raises(openai.PermissionDeniedError, match="may not use local/small"):
            client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    _counted(desk)
    with pytest.raises(openai.PermissionDeniedError):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    (one,) = _seen(desk, "use")
    assert (one.what, one.who, one.workspace, one.project, one.n) == ("local/small", USER, "main", PROJECT, 4)
    assert one.first_at < one.last_at
    (found,) = report(desk.app, auditor).found
    assert (found.seen, found.models, found.provider) == (one, ("local/own",), "local")
    refused = [entry for entry in desk.app.store.audit.list() if entry.action == "llm.refused"]
    assert len(refused) == 1, "the audit log says it once a minute; the counts lose none"


@pytest.mark.requirement("GOV-08")
def test_names_and_keys_that_stand_for_nothing_here_are_counted(desk: Desk, auditor: Any) -> None:
    for name in ("gpt-4o", "gpt-4o", "x" * 400):
        with pytest.raises(openai.APIStatusError):
            client(desk).chat.completions.create(model=name, messages=HELLO)
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {}):
        answer = httpx.post(
            f"{desk.url}/v1/messages", json={"model": "claude"}, headers=headers, trust_env=False
        )
        assert answer.status_code == 401
    models = {one.what: (one.who, one.n) for one in _seen(desk, "model")}
    assert models == {"gpt-4o": (USER, 2), "x" * 80: (USER, 1)}
    (key,) = _seen(desk, "key")
    assert (key.what, key.n, key.note, key.who) == (short(KEY), 2, "Anthropic", "")
    home = desk.app.settings.home
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    found = {one.seen.what: one for one in report(desk.app, auditor).found}
    assert {"local/*", "abroad/small"} <= set(found["gpt-4o"].models)
    assert found["gpt-4o"].projects == (PROJECT,)
    assert found[short(KEY)].projects == ()


@pytest.mark.requirement("GOV-08")
def test_a_log_of_a_proxy_names_hosts_users_and_counts_and_nothing_else(
    desk: Desk, auditor: Any, tmp_path: Path
) -> None:
    path = tmp_path / "access.log.gz"
    with gzip.open(path, "wt") as log:
        log.write("\n".join(LOG))
    read = import_log(desk.app, auditor, path, ours=["gateway"]).log
    assert (read.n, read.n_bad, read.n_known) == (6, 1, 3)
    assert read.note == "line 6: it has 3 words, expected 10"
    hosts = {(one.what, one.who): (one.n, one.note) for one in _seen(desk, "host")}
    assert hosts == {
        ("api.openai.com", "ann"): (2, "OpenAI (API)"),
        ("claude.ai", "bob"): (1, "Claude (assistant)"),
    }
    assert import_log(desk.app, auditor, path, ours=["gateway"]) == (read, False), (
        "read again, nothing changes"
    )
    assert {(one.what, one.who): (one.n, one.note) for one in _seen(desk, "host")} == hosts
    home = desk.app.settings.home
    written = b"".join(one.read_bytes() for one in home.rglob("*") if one.is_file())
    assert b"very-private" not in written
    assert b"intranet.example" not in written
    (entry,) = [one for one in desk.app.store.audit.list() if one.action == "llm.shadow_log"]
    assert (entry.actor, entry.detail["lines"], entry.detail["unread"]) == (STRANGER, 6, 1)
    shown = report(desk.app, auditor)
    assert [one.seen.what for one in shown.found] == ["api.openai.com", "claude.ai"]
    assert all(one.models for one in shown.found)
    assert [one.n_bad for one in shown.logs] == [1]


@pytest.mark.requirement("GOV-08")
def test_the_report_is_the_same_by_every_route_and_for_auditors(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("\n".join(LOG))
    environment = {"HEADRACE_HOME": str(desk.app.settings.home), "HEADRACE_USER": USER}
    asked = ["llm", "shadow", "--proxy-log", str(path), "--ours", "gateway", "--as", STRANGER]
    ended = CliRunner().invoke(command_line, asked, env=environment)
    assert ended.exit_code == 0, ended.output
    assert "6 lines, 3 of them to known hosts, 1 unread." in ended.output
    assert "api.openai.com" in ended.output
    ended = CliRunner().invoke(command_line, ["llm", "shadow", "--as", STRANGER, "--json"], env=environment)
    typed = json.loads(ended.stdout)
    headers = {"authorization": f"Bearer {desk.token(STRANGER)}"}
    sent = httpx.get(f"{desk.url}/api/v1/llm/shadow", headers=headers, trust_env=False)
    assert [one["seen"]["what"] for one in sent.json()["found"]] == ["api.openai.com", "claude.ai"]
    assert [one["seen"]["id"] for one in typed["found"]] == [
        one["seen"]["id"] for one in sent.json()["found"]
    ]
    page = httpx.get(f"{desk.url}/policy/shadow", headers=headers, trust_env=False)
    assert page.status_code == 200
    assert "api.openai.com" in page.text
    assert "line 6: it has 3 words" in page.text
    mine = {"authorization": f"Bearer {desk.token(USER)}"}
    for route in ("/api/v1/llm/shadow", "/policy/shadow"):
        assert httpx.get(f"{desk.url}{route}", headers=mine, trust_env=False).status_code == 403
    user = desk.app.identities.resolve(USER)
    with pytest.raises(Denied):
        report(desk.app, user)
    with pytest.raises(Denied):
        import_log(desk.app, user, path)


@pytest.mark.requirement("GOV-08")
def test_a_log_that_was_read_without_saying_what_is_ours_is_shown_without_it(
    desk: Desk, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    path.write_text("\n".join(LOG))
    environment = {"HEADRACE_HOME": str(desk.app.settings.home), "HEADRACE_USER": USER}
    asked = ["llm", "shadow", "--proxy-log", str(path), "--as", STRANGER, "--json"]
    first = CliRunner().invoke(command_line, asked, env=environment)
    again = CliRunner().invoke(command_line, [*asked, "--ours", "gateway"], env=environment)
    assert "6 lines" in first.stderr
    assert "was read already" in again.stderr
    assert "6 lines" not in again.stderr
    alone = CliRunner().invoke(command_line, [*asked[:2], *asked[4:], "--ours", "gateway"], env=environment)
    assert [
        [one["seen"]["who"] for one in json.loads(ran.stdout)["found"]] for ran in (first, again, alone)
    ] == [
        ["ann", "gateway", "bob"],
        ["ann", "bob"],
        ["ann", "bob"],
    ]
    headers = {"authorization": f"Bearer {desk.token(STRANGER)}"}
    for ours, seen in (("", True), ("?ours=x&ours=gateway", False)):
        sent = httpx.get(f"{desk.url}/api/v1/llm/shadow{ours}", headers=headers, trust_env=False)
        assert ("gateway" in [one["seen"]["who"] for one in sent.json()["found"]]) is seen
        page = httpx.get(f"{desk.url}/policy/shadow{ours}", headers=headers, trust_env=False)
        assert ('<td class="wrap">gateway</td>' in page.text) is seen


@pytest.mark.requirement("GOV-08")
def test_another_workspace_sees_its_own(desk: Desk, auditor: Any, tmp_path: Path) -> None:
    theirs = desk.app.identities.add("aud-b", ["auditor"], actor=USER, workspace="team-b")
    path = tmp_path / "access.log"
    path.write_text("\n".join(LOG))
    import_log(desk.app, theirs, path)
    assert not report(desk.app, auditor).found
    assert len(report(desk.app, theirs).found) == 3


def test_a_file_that_is_none_is_refused_and_nothing_is_kept(desk: Desk, auditor: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        import_log(desk.app, auditor, tmp_path / "gone.log")
    cut, odd = tmp_path / "cut.gz", tmp_path / "odd.log"
    cut.write_bytes(gzip.compress("\n".join(LOG * 500).encode())[:-40])
    odd.write_text("hello\n")
    for path in (cut, odd):
        with pytest.raises(InvalidInput):
            import_log(desk.app, auditor, path)
    assert at_host("api.openai.com") is not None
    assert not desk.app.store.shadow.list(workspace="main")
