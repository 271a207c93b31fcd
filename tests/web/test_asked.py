"""A person is asked to decide by e-mail or in Slack: once, in time, about this digest, and nobody else is."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import pytest

from headrace.access.key_ring import KeyRing
from headrace.app.asking import GOOD_FOR_S, Asked, look
from headrace.core.errors import Denied
from headrace.core.ports import Channel
from headrace.plugins.slack import SlackChannel
from headrace.serving.callbacks import Callbacks
from headrace.testing import FakeClock, MemoryChannel
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
"""Of Slack's own documentation."""
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def mail(own_site: Site) -> MemoryChannel:
    made = MemoryChannel(personal=True)
    cast(dict[str, Channel], own_site.app.channels)["email"] = made
    return made


@pytest.fixture
def slack(own_site: Site) -> Iterator[Receiver]:
    receiver = Receiver()
    callbacks = Callbacks(
        KeyRing(own_site.app.settings.home / "callback-keys", "callbacks"),
        own_site.app.clock,
        hosts=None,
        private=True,
    )
    channel = SlackChannel(f"http://{receiver.host}/hook", callbacks, SECRET)
    cast(dict[str, Channel], own_site.app.channels)["ops"] = channel
    yield receiver
    receiver.close()


def asked_by_mail(site: Site, mail: MemoryChannel, person: str = VALIDATOR) -> str:
    """The path of the link that came."""
    body = {"person": person, "channel": "email", "to": "grace@example.org"}
    sent = site.post(f"/api/v1/releases/{site.seeded.waiting}/ask", json=body)
    assert sent.status_code == 201, sent.text
    return "/" + mail.had[-1].links[0].url.split("/", 3)[3]


def decide(site: Site, path: str, decision: str = "approved", *, by: str = VALIDATOR) -> httpx.Response:
    form = {"decision": decision, "comment": "seen"}
    return site.post(path, data=form, by=by, headers={"accept": "text/html"})


def entries(site: Site, action: str) -> list[Any]:
    return [e for e in site.app.store.audit.list() if e.action == action]


def test_a_link_is_opened_as_often_as_scanners_like_and_decides_once(
    own_site: Site, mail: MemoryChannel
) -> None:
    site = own_site
    path = asked_by_mail(site, mail)
    assert mail.had[-1].to == "grace@example.org"
    nobody = site.get(path, by=None, headers={"accept": "text/html"})
    assert nobody.status_code == 401
    assert f'value="{path}"' in nobody.text, "after signing in it goes on there"
    for _ in range(3):
        page = site.page(path, by=VALIDATOR)
        assert page.status_code == 200
        assert site.app.store.releases.get(site.seeded.waiting).digest in page.text
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting", "opened, not approved"
    assert decide(site, path).status_code == 303
    assert site.app.store.releases.get(site.seeded.waiting).state == "rolling_out"
    (given,) = site.app.store.evidence.approvals(site.seeded.waiting)
    assert (given.approver, given.comment) == (VALIDATOR, "seen")
    replayed = decide(site, path, "rejected")
    assert replayed.status_code == 403
    assert "answered already" in replayed.text
    assert site.page(path, by=VALIDATOR).status_code == 403
    (question,), (answered,) = entries(site, "approval.ask"), entries(site, "approval.answer")
    assert question.detail["asked"] == answered.detail["asked"]
    assert answered.detail["digest"] == given.digest
    assert path.rpartition("/")[2] not in json.dumps([e.detail for e in site.app.store.audit.list()])


def test_a_decision_that_cannot_be_made_uses_nothing_up(own_site: Site, mail: MemoryChannel) -> None:
    site = own_site
    path = asked_by_mail(site, mail)
    release = site.app.store.releases.get(site.seeded.waiting)
    package = site.app.store.artifacts.path(release.manifest.subject.package.digest)
    kept = package.read_bytes()
    package.chmod(0o600)
    package.write_bytes(kept[:-1])
    assert decide(site, path).status_code == 409, "it is not what was signed"
    assert entries(site, "approval.answer") == []
    package.write_bytes(kept)
    assert decide(site, path).status_code == 303, "once that is mended the same link decides"
    assert len(entries(site, "approval.answer")) == 1


def test_somebody_else_cannot_use_it_and_that_is_written_down(own_site: Site, mail: MemoryChannel) -> None:
    site = own_site
    site.app.identities.add("val", ["validator"], actor=AUTHOR)
    path = asked_by_mail(site, mail)
    assert site.page(path, by="val").status_code == 403
    assert decide(site, path, by="val").status_code == 403
    assert decide(site, path, by=AUTHOR).status_code == 403
    assert [e.actor for e in entries(site, "approval.refused")] == ["val", "val", AUTHOR]
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting"
    assert decide(site, path, "rejected").status_code == 303, (
        "for the one who was asked it is as good as before"
    )


def test_nobody_is_asked_about_their_own_work_nor_who_may_not_decide(
    own_site: Site, mail: MemoryChannel
) -> None:
    site, path = own_site, f"/api/v1/releases/{own_site.seeded.waiting}/ask"
    for person in (AUTHOR, "vera"):
        assert site.post(path, json={"person": person, "to": "a@example.org"}).status_code == 403
    assert site.post(path, json={"person": "nobody", "to": "a@example.org"}).status_code == 404
    assert site.post(path, json={"person": VALIDATOR}).status_code == 400
    assert site.post(path, json={"person": VALIDATOR, "channel": "fax"}).status_code == 404
    decided = f"/api/v1/releases/{site.seeded.live}/ask"
    assert site.post(decided, json={"person": VALIDATOR, "to": "a@example.org"}).status_code == 409
    assert mail.had == []


def test_a_link_expires_and_a_made_up_one_was_never_good(own_site: Site, mail: MemoryChannel) -> None:
    site = own_site
    token = asked_by_mail(site, mail).rpartition("/")[2]
    grace = site.app.identities.resolve(VALIDATOR)
    assert isinstance(look(site.app, grace, token), Asked)

    later = replace(site.app, clock=FakeClock(site.app.clock.now() + timedelta(seconds=GOOD_FOR_S + 60)))
    before = replace(site.app, clock=FakeClock(site.app.clock.now() + timedelta(seconds=GOOD_FOR_S - 60)))
    assert look(before, grace, token).person == VALIDATOR
    with pytest.raises(Denied, match="too old"):
        look(later, grace, token)
    tampered = ("A" if token[0] != "A" else "B") + token[1:]
    assert site.page(f"/asked/{tampered}", by=VALIDATOR).status_code == 403
    assert decide(site, f"/asked/{tampered}").status_code == 403


def pressed(site: Site, token: str, decision: str = "approved", **changes: Any) -> httpx.Response:
    """What Slack sends when somebody presses a button, signed as Slack signs."""
    user, team = changes.pop("user", "U1"), changes.pop("team", "T1")
    payload = {
        "type": "block_actions",
        "team": {"id": team},
        "user": {"id": user},
        "actions": [{"action_id": decision, "value": token}],
        "response_url": changes.pop("reply_to", "https://hooks.slack.com/actions/T1/1/x"),
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    at = str(int(site.app.clock.now().timestamp()) - changes.pop("age_s", 0))
    signed = hmac.new(
        changes.pop("secret", SECRET).encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256
    )
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": at,
        "x-slack-signature": f"v0={signed.hexdigest()}",
    } | changes.pop("headers", {})
    return site.post("/slack/actions", by=None, content=changes.pop("body", body), headers=headers)


def asked_in_slack(site: Site, slack: Receiver) -> str:
    """The value of the button that came."""
    body = {"person": VALIDATOR, "channel": "ops"}
    assert site.post(f"/api/v1/releases/{site.seeded.waiting}/ask", json=body).status_code == 201
    (blocks,) = [one["blocks"] for one in documents(slack)]
    (buttons,) = [block["elements"] for block in blocks if block["type"] == "actions"]
    assert [one["action_id"] for one in buttons] == ["approved", "rejected"]
    return str(buttons[0]["value"])


def linked(site: Site, person: str = VALIDATOR, user: str = "U1") -> None:
    site.app.access.links.add(site.app.identities.resolve(person), "https://slack.com/T1", user)


def test_a_button_decides_once_as_the_person_that_the_slack_user_is(own_site: Site, slack: Receiver) -> None:
    site = own_site
    linked(site)
    token = asked_in_slack(site, slack)
    answer = f"http://{slack.host}/answer"
    assert pressed(site, token, reply_to=answer).status_code == 200
    assert site.app.store.releases.get(site.seeded.waiting).state == "rolling_out"
    (given,) = site.app.store.evidence.approvals(site.seeded.waiting)
    assert given.approver == VALIDATOR
    assert documents(slack)[-1]["text"] == "flight-delay@4 is rolling out."
    (entry,) = entries(site, "approval.answer")
    assert (entry.actor, entry.detail["way"]) == (VALIDATOR, "slack")
    assert pressed(site, token, "rejected", reply_to=answer).status_code == 200
    assert "answered already" in documents(slack)[-1]["text"]
    assert len(site.app.store.evidence.approvals(site.seeded.waiting)) == 1


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": "another"},
        {"age_s": 301},
        {"age_s": -301},
        {"body": b"payload=%7B%7D"},
        {"headers": {"x-slack-signature": ""}},
        {"headers": {"x-slack-request-timestamp": "soon"}},
    ],
)
def test_what_slack_has_not_signed_now_decides_nothing(
    own_site: Site, slack: Receiver, forged: dict[str, Any]
) -> None:
    site = own_site
    linked(site)
    token = asked_in_slack(site, slack)
    assert pressed(site, token, **forged).status_code == 401
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting"
    assert entries(site, "approval.answer") == []


def test_a_slack_user_who_is_nobody_here_or_somebody_else_decides_nothing(
    own_site: Site, slack: Receiver
) -> None:
    site, answer = own_site, f"http://{slack.host}/answer"
    token = asked_in_slack(site, slack)
    assert pressed(site, token, user="U9", reply_to=answer).status_code == 200
    assert "Nobody here is linked" in documents(slack)[-1]["text"]
    linked(site, AUTHOR, "U2")
    assert pressed(site, token, user="U2", reply_to=answer).status_code == 200
    assert "Somebody else was asked" in documents(slack)[-1]["text"]
    linked(site)
    assert pressed(site, token, team="T2", reply_to=answer).status_code == 200, (
        "the same id in another workspace"
    )
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting"
    assert {e.actor for e in entries(site, "approval.refused")} == {"nobody", AUTHOR}


def test_a_signed_request_of_another_form_is_refused(own_site: Site, slack: Receiver) -> None:
    site = own_site
    body = urlencode({"payload": json.dumps({"actions": []})}).encode()
    at = str(int(site.app.clock.now().timestamp()))
    signature = hmac.new(SECRET.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {"x-slack-request-timestamp": at, "x-slack-signature": f"v0={signature}"}
    assert site.post("/slack/actions", by=None, content=body, headers=headers).status_code == 400


def test_without_a_signing_secret_there_is_no_button(own_site: Site, slack: Receiver) -> None:
    site = own_site
    channels = cast(dict[str, Channel], site.app.channels)
    callbacks = Callbacks(
        KeyRing(site.app.settings.home / "k", "callbacks"), site.app.clock, hosts=None, private=True
    )
    channels["ops"] = SlackChannel(f"http://{slack.host}/hook", callbacks)
    body = {"person": VALIDATOR, "channel": "ops"}
    assert site.post(f"/api/v1/releases/{site.seeded.waiting}/ask", json=body).status_code == 201
    assert "actions" not in {block["type"] for block in documents(slack)[-1]["blocks"]}
    assert pressed(site, "any", secret="").status_code == 401
