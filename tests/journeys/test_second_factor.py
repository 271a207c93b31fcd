"""A high risk is approved by commands, as somebody types them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest

from headrace.app.composition import open_app
from headrace.app.governance import proving
from headrace.app.workflows import launch
from headrace.core.identity import Session
from headrace.testing import make_settings
from tests.journeys.test_tutorial import environment
from tests.web.risky import add_risky

pytestmark = pytest.mark.journey


def _prepare(home: Path) -> tuple[str, pyotp.TOTP]:
    """A release with a high risk that waits, and the authenticator app of the validator ``carol``."""
    with open_app(make_settings(home)) as app, launch(app, role="command") as work:
        app.identities.add("ann", ["developer", "admin"], actor="ann")
        app.identities.add("carol", ["validator"], actor="ann")
        release_id = add_risky(app, work)
        session = Session(token="t", began_at=app.clock.now())
        carol = replace(app.identities.resolve("carol"), session=session)
        proving.begin_app(app, carol)
        waiting = proving.pending_app(app, carol)
        assert waiting is not None
        phone = pyotp.TOTP(waiting.key)
        proving.add_app(app, carol, phone.at(app.clock.now(), counter_offset=-1))
        return release_id, phone


@pytest.mark.requirement("GOV-02", "IDN-09")
def test_a_high_risk_is_approved_with_a_code(tmp_path: Path) -> None:
    home = tmp_path / "home"
    release_id, phone = _prepare(home)

    def approve(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headrace", "release", "approve", release_id, "--as", "carol", *more]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=environment(home)
        )

    refused = approve()
    assert refused.returncode == 2
    assert "A high risk needs a fresh second factor" in refused.stderr
    assert "--code" in refused.stderr
    approved = approve("--code", phone.now())
    assert approved.returncode == 0, approved.stderr
    assert "model:loans@1 is live" in approved.stdout
    with open_app(make_settings(home)) as app:
        entry = next(one for one in app.store.audit.list() if one.action == "release.approve")
        assert (entry.actor, entry.detail["proof"]) == ("carol", "code")
