from __future__ import annotations

import re
from dataclasses import replace

import httpx
import pytest

from headrace.app.alerting import cases
from headrace.app.alerting.outbox import deliver
from tests.web.alarmed import PROJECT, alarm
from tests.web.conftest import Site
from tests.web.making import AUTHOR
from tests.web.seed import VIEWER

HOSTILE = "<img src=x onerror=alert(1)> differs"


def _sent(site: Site, path: str, by: str = AUTHOR, **fields: str) -> httpx.Response:
    return site.post(path, by=by, data=fields, headers={"accept": "text/html"})


def _form(site: Site, path: str, by: str = AUTHOR, **fields: str) -> int:
    return _sent(site, path, by, **fields).status_code


def test_alerts_are_listed_by_what_they_need_and_project(site: Site) -> None:
    shift = alarm(site.app, title=HOSTILE)
    bias = alarm(site.app, kind="fairness", feature="carrier", title="late flights differ by carrier")
    page = site.page("/alerts", by=VIEWER).text
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    violations = page[page.index("Violations to remedy or accept") : page.index("Waits for somebody")]
    assert f"/alerts/{bias}" in violations
    assert "to be closed by" in violations
    assert f"/alerts/{shift}" in page[page.index("Waits for somebody") :]
    assert 'href="/alerts" aria-current="page">Alerts' in page
    assert f"/alerts/{shift}" not in site.page("/alerts?project=cars").text
    assert site.page("/alerts?project=nowhere").status_code in (403, 404)


def test_what_waits_is_listed_the_gravest_first(site: Site) -> None:
    critical = alarm(site.app, kind="performance", title="mae is twice what it was")
    informs = alarm(site.app, kind="schedule", title="trained long ago")
    shift = alarm(site.app, title="mileage has shifted again")
    page = site.page("/alerts", by=VIEWER).text
    places = [page.index(f"/alerts/{one}") for one in (critical, shift, informs)]
    assert places == sorted(places)


def test_without_any_channel_it_is_said_that_an_alert_is_shown_only(site: Site) -> None:
    where = f"/alerts/{alarm(site.app, title='shown only')}"
    deliver(replace(site.app, channels={}))
    page = site.page(where, by=VIEWER).text
    assert "shown here only: no channel is set up." in page
    assert "HEADRACE_CHANNEL_EMAIL" in page
    assert "nobody could be told" not in page


def test_an_alert_is_answered_on_its_page(site: Site) -> None:
    alert = alarm(site.app, title="answered on its page")
    where = f"/alerts/{alert}"
    assert "What next" not in site.page(where, by=VIEWER).text
    page = site.page(where).text
    assert f"/projects/{PROJECT}#finding-" in page
    assert "I look into it" in page
    assert "Ignore as a known event" in page
    assert "Its cause is gone" not in page, "nobody has looked into it yet"
    assert _form(site, where, by=VIEWER, step="acknowledge") == 403
    assert _form(site, where, step="acknowledge") == 303
    assert "Its cause is gone" in site.page(where).text
    refused = _sent(site, where, step="remediate", why="unit mended", evidence="")
    assert refused.status_code == 400
    assert "It needs evidence" in refused.text
    assert "unit mended" in refused.text, "what was typed is still there"
    assert _form(site, where, step="remediate", why="unit mended", evidence="release 7") == 303
    closed = site.page(where).text
    assert "Evidence: release 7" in closed
    assert "What next" not in closed
    assert _form(site, where, step="lapse") == 400


@pytest.mark.requirement("GOV-10")
def test_a_bias_is_not_ignored_on_its_page(site: Site) -> None:
    alert = alarm(site.app, kind="fairness", feature="carrier", title="late flights differ again")
    page = site.page(f"/alerts/{alert}").text
    assert "Ignore as a known event" not in page
    assert "with evidence" in page
    assert _form(site, f"/alerts/{alert}", step="ignore", why="a strike") == 400
    assert cases.one(site.app, site.app.me(), alert).state == "open"


def test_events_and_silences_are_named_on_the_projects_alerts(site: Site) -> None:
    where = "/alerts/periods"
    event = {
        "project": PROJECT,
        "kind": "event",
        "title": "a strike",
        "from": "2026-06-01",
        "until": "2026-06-03",
    }
    assert _form(site, where, by=VIEWER, **event) == 403
    assert _form(site, where, **event) == 303
    assert _form(site, where, project=PROJECT, kind="silence", title="moving", hours="12") == 303
    page = site.page(f"/alerts?project={PROJECT}").text
    assert "a strike" in page
    assert "06-04" in page, "the last day is in it"
    assert "moving" in page
    for wrong in ({"until": "soon"}, {"until": "2026-05-01"}, {"title": ""}, {"kind": "party"}):
        assert _form(site, where, **event | wrong) == 400
    assert _form(site, where, project=PROJECT, kind="silence", title="moving", hours="9999") == 400
    button = '"><button name="kind" value="end" type="submit" aria-label="Take back moving'
    (period,) = re.findall(f'name="period" value="([^"]+){button}', page)
    assert _form(site, where, project=PROJECT, kind="end", period=period) == 303
    assert "Take back moving" not in site.page(f"/alerts?project={PROJECT}").text
    assert 'action="/alerts/periods"' not in site.page(f"/alerts?project={PROJECT}", by=VIEWER).text
