"""Approving what carries a high risk: each test has a home of its own."""

from __future__ import annotations

import pytest

from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.risky import Visitor, add_risky


@pytest.mark.requirement("GOV-02", "MCP-08", "IDN-09")
def test_a_high_risk_is_approved_after_a_code(own_site: Site) -> None:
    site = own_site
    release_id = add_risky(site.app, site.work)
    path, grace = f"/releases/{release_id}", Visitor(site, VALIDATOR)
    page = grace.get(path).text
    assert "This carries a high risk" in page
    assert f'href="/security/prove?next={path}"' in page
    assert 'value="approved"' not in page
    assert 'value="rejected"' in page
    refused = grace.send(f"{path}/decision", came_from=path, decision="approved")
    assert refused.status_code == 403
    assert "You have no second factor yet" in refused.text
    grace.add_app()
    grace.forget_proof()
    refused = grace.send(f"{path}/decision", came_from=path, decision="approved")
    assert f'name="next" value="{path}"' in refused.text
    assert site.app.store.releases.get(release_id).state == "waiting"
    assert grace.send("/security/prove", code=grace.code(), next=path).headers["location"] == path
    assert 'value="approved"' in grace.get(path).text
    decided = grace.send(f"{path}/decision", decision="approved", comment="seen")
    assert decided.headers["location"] == path
    assert site.app.store.releases.get(release_id).state == "live"
    (entry,) = [one for one in site.app.store.audit.list() if one.action == "release.approve"]
    assert entry.detail["proof"] == "code"


@pytest.mark.requirement("GOV-02")
def test_the_api_says_that_a_proof_is_needed(own_site: Site) -> None:
    release_id = add_risky(own_site.app, own_site.work)
    refused = own_site.post(f"/api/v1/releases/{release_id}/approve", by=VALIDATOR)
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:headrace:problem:proof-needed"
    assert "second factor" in refused.json()["detail"]
    assert "--code" in refused.json()["next"]
    author = own_site.post(f"/api/v1/releases/{release_id}/approve", by=AUTHOR)
    assert author.json()["type"] == "urn:headrace:problem:denied"
