from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from headrace.web.guards import CONTENT_POLICY
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import AUDITOR, VIEWER

SAME_SITE = {"origin": "http://testserver"}


def _session(site: Site, name: str) -> dict[str, str]:
    """A browser that has signed in."""
    ticket = site.server.new_ticket(site.app.identities.resolve(name))
    entered = site.client.request("GET", ticket)
    return {"cookie": entered.headers["set-cookie"].partition(";")[0]} | SAME_SITE


def _embedded(page: str, plot: str) -> Any:
    found = re.search(rf'<script type="application/json" data-for="{plot}">(.*?)</script>', page)
    assert found is not None
    return json.loads(found.group(1))


def test_the_overview_shows_what_waits_and_how_each_project_is_doing(site: Site) -> None:
    page = site.page("/", by=VIEWER)
    assert page.status_code == 200
    for text in ("needs someone", "flight-delay@4 waits", "degraded", "not measured yet", "not live"):
        assert text in page.text
    assert f'href="/releases/{site.seeded.waiting}"' in page.text


def test_inputs_that_are_not_compared_yet_are_no_reason_to_say_that_nothing_stands_out(site: Site) -> None:
    said = "inputs are not compared yet: none of its windows has closed"
    (cars,) = [one for one in site.get("/fleet.json", by=VIEWER).json()["rows"] if one["project"] == "cars"]
    assert cars["inputs_uncompared"] == said
    assert said in site.page("/", by=VIEWER).text
    page = site.page("/projects/cars", by=VIEWER).text
    assert f"Nothing was found so far: {said}." in page
    assert "Nothing stands out" not in page


def test_words_in_the_address_leave_a_few_projects_and_are_kept(site: Site) -> None:
    page = site.page("/?words=ADA+degraded&state=act", by=VIEWER).text
    assert 'href="/projects/flight-delay"' in page
    assert 'href="/projects/cars"' not in page
    assert 'value="ADA degraded"' in page
    assert 'href="/fleet.csv?words=ADA+degraded&amp;state=act"' in page
    assert 'href="/?words=ADA+degraded"' in page, "the state that is chosen is taken back by the same link"
    assert "No project is like that" in site.page("/?words=nothing-of-the-kind", by=VIEWER).text
    assert site.page("/?page=900", by=VIEWER).status_code == 200
    for wrong in ("page=0", "page=x", "page=9999999", "state=ill"):
        assert site.page(f"/?{wrong}", by=VIEWER).status_code == 400


def test_the_fleet_can_be_taken_away_as_csv_and_json(site: Site) -> None:
    answer = site.get("/fleet.csv?words=flight", by=VIEWER)
    assert answer.headers["content-disposition"] == 'attachment; filename="fleet.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["project"], row["state"], row["health"]) == ("flight-delay", "act", "degraded")
    assert row["why"].startswith("flight-delay@4 waits for a decision; ")
    assert float(row["low"]) < float(row["value"]) < float(row["high"])
    said = site.get("/fleet.json", by=VIEWER).json()
    assert next(one["project"] for one in said["rows"]) == "flight-delay"
    assert said["counts"]["act"] == 1
    assert site.get("/fleet.pdf", by=VIEWER).status_code == 404
    assert site.get("/api/v1/fleet?state=act", by=VIEWER).json()["projects"][0]["name"] == "flight-delay"


@pytest.mark.requirement("UI-01")
def test_a_project_page_shows_the_model_at_a_glance(site: Site) -> None:
    page = site.page("/projects/flight-delay").text
    loop = re.findall(r'<li class="is-(\w+)".*?class="stage">([a-z ]+)<', page, re.DOTALL)
    assert loop == [
        ("done", "declare"),
        ("done", "build"),
        ("done", "prove"),
        ("now", "approve"),
        ("next", "roll out"),
        ("on", "answer"),
        ("on", "watch"),
        ("now", "decide"),
    ]
    performance = _embedded(page, "performance")
    assert [len(series["value"]) for series in performance["series"]] == [11, 9]
    assert performance["marks"][0]["name"] == "flight-delay@2"
    drift = _embedded(page, "drift")
    assert drift["threshold"] == 0.08
    assert [line["feature"] for line in drift["lines"] if line["named"]][:2] == [
        "temperature_at_origin_one_hour_before_departure",
        "predictions",
    ]
    for text in ("1,284", "2,568 rows read", "degraded", "retraining, reviewed", "Watch now", "Roll back"):
        assert text in page
    assert page.count('id="finding-') == 3


def test_a_rollout_shows_its_shares_and_can_be_stopped(site: Site) -> None:
    page = site.page("/projects/cars").text
    assert 'aria-label="90 % live, 10 % canary"' in page
    assert "Stop the rollout" in page
    assert "Stop the rollout" not in site.page("/projects/cars", by=VIEWER).text


def test_a_project_that_is_only_declared_says_what_comes_next(site: Site) -> None:
    page = site.page("/projects/tsa-passengers").text
    assert "nothing answers yet" in page
    assert "No release yet" in page
    assert 'class="is-now"' in page


@pytest.mark.requirement("GAT-07")
def test_a_waiting_release_shows_evidence_difference_and_decision_to_a_validator(site: Site) -> None:
    page = site.page(f"/releases/{site.seeded.waiting}", by=VALIDATOR).text
    for text in ("6 of 6", "0.4295 against 0.4381", "Difference from", "n estimators", "Comment", "Reject"):
        assert text in page
    assert 'value="approved"' in page
    assert "temperature_at_origin_one_hour_before_departure" in page  # the data gate's evidence by column


def test_the_author_and_a_viewer_are_told_why_they_cannot_decide(site: Site) -> None:
    path = f"/releases/{site.seeded.waiting}"
    author, viewer = site.page(path).text, site.page(path, by=VIEWER).text
    assert "somebody else has to decide" in author
    assert "A validator can" in viewer
    for page in (author, viewer):
        assert 'value="approved"' not in page


def test_an_aborted_release_shows_every_look(site: Site) -> None:
    page = site.page(f"/releases/{site.seeded.aborted}", by=VIEWER).text
    for text in ("Inconclusive, but worth a canary.", "34 of 50 answers so far", "worse by at least 0.0312"):
        assert text in page
    assert '<li class="stopped">10 %</li>' in page
    assert "<details open>" in page  # the champion gate was inconclusive


def test_only_the_store_has_the_last_word_on_decisions(site: Site) -> None:
    headers = _session(site, AUTHOR) | {"accept": "text/html"}
    body = {"decision": "approved", "comment": "mine"}
    path = f"/releases/{site.seeded.waiting}/decision"
    refused = site.client.request("POST", path, headers=headers, data=body)
    assert refused.status_code == 403
    assert "You may not do this" in refused.text
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting"


def test_numbers_of_a_plot_can_be_downloaded(site: Site) -> None:
    response = site.get("/projects/flight-delay/performance.csv")
    assert response.headers["content-disposition"] == 'attachment; filename="flight-delay-performance.csv"'
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == 20
    assert rows[0]["subject"] == "flight-delay@1"
    assert float(rows[0]["low"]) < float(rows[0]["value"]) < float(rows[0]["high"])
    drift = site.get("/projects/flight-delay/drift.json").json()
    assert len(drift["rows"]) == 240
    assert site.get("/projects/tsa-passengers/drift.csv").text == ""
    for nothing in ("performance.xls", "nothing.csv", "performance"):
        assert site.get(f"/projects/flight-delay/{nothing}").status_code == 404


def test_the_project_page_shows_how_long_each_step_took_and_who_was_needed(site: Site) -> None:
    page = site.page("/projects/flight-delay").text
    shown = page[page.index('id="lead-times"') :]
    (waiting,) = re.findall(r"<tr>(?:(?!</tr>).)*flight-delay@4.*?</tr>", shown, re.DOTALL)
    assert "so far" in waiting
    assert "a person" in waiting
    assert re.search(r'<th scope="row">Decide</th>\s*<td class="num">4</td>', shown)
    (live,) = re.findall(r"<tr>(?:(?!</tr>).)*flight-delay@2.*?</tr>", shown, re.DOTALL)
    assert "so far" not in live
    assert VALIDATOR in live
    rows = list(csv.DictReader(io.StringIO(site.get("/projects/flight-delay/lead-times.csv").text)))
    assert {row["release"] for row in rows} == {f"flight-delay@{n}" for n in range(1, 5)}
    (decided,) = (row for row in rows if (row["release"], row["step"]) == ("flight-delay@2", "decide"))
    assert decided["by"] == VALIDATOR
    assert [row["step"] for row in rows if not row["ended_at"]] == ["decide"]
    assert site.get("/projects/tsa-passengers/lead-times.json").json()["rows"] == []


def test_the_project_page_shows_calls_consumers_and_segments(site: Site) -> None:
    page = site.page("/projects/flight-delay").text
    calls = _embedded(page, "calls")
    assert len(calls["hour"]) == len(calls["calls"]) == len(calls["week_before"]) >= 15 * 24 - 1
    assert any(calls["deviating"])
    consumers = re.findall(r'<th scope="row"><span class="clip" title="(check-in|departure-board)"', page)
    assert consumers == ["check-in", "departure-board"]
    segments = re.findall(r'<th scope="row" class="named">(\w+)<span class="sub">origin</span>', page)
    assert segments == ["LGA", "EWR", "JFK"]
    assert "Caution: labels have come for 90% of the answers with origin" in page
    traffic = list(csv.DictReader(io.StringIO(site.get("/projects/flight-delay/traffic.csv").text)))
    assert {row["consumer"] for row in traffic} == {"check-in", "departure-board"}
    assert int(traffic[0]["predictions"]) == 2 * int(traffic[0]["calls"])
    rows = site.get("/projects/flight-delay/segments.json").json()["rows"]
    assert len(rows) == 27
    assert {row["segment"] for row in rows} == {"JFK", "LGA", "EWR"}


def test_pages_trust_nothing_but_our_own_files(site: Site) -> None:
    page = site.page("/projects/flight-delay")
    assert page.headers["content-security-policy"] == CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r'style="|<style|\son\w+="|(src|href)="https?:', page.text)


def test_files_are_kept_by_browsers_as_long_as_their_content_stays(site: Site) -> None:
    page = site.page("/projects/flight-delay").text
    addresses = sorted(set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page)))
    assert [address.partition("?")[0] for address in addresses] == [
        "/static/headrace.css",
        "/static/headrace.js",
        "/static/icon.svg",
        "/static/plotly.min.js",
        "/static/plots.css",
        "/static/plots.js",
    ]
    for address in addresses:
        answer = site.get(address, by=None)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert b"plotly" in site.get("/static/plotly.min.js", by=None).content[:200]
    assert site.get("/static/..%2fserver.py", by=None).status_code == 404
    assert site.get("/static/none.js", by=None).status_code == 404


def test_whatever_people_write_stays_text(site: Site) -> None:
    token = "<img src=x onerror=alert(1)>"
    body = {"token": token, "next": '"><script>alert(1)</script>'}
    answer = site.client.request("POST", "/signin", headers=SAME_SITE, data=body)
    assert answer.status_code == 401
    assert "<img src=x" not in answer.text
    assert "<script>" not in answer.text


def test_a_ticket_opens_a_session_once(site: Site) -> None:
    ticket = site.server.new_ticket(site.app.identities.resolve(VALIDATOR))
    assert site.client.request("HEAD", ticket).status_code == 401  # a preview of the link does not use it up
    first = site.client.request("GET", ticket)
    assert first.status_code == 200
    settings = first.headers["set-cookie"].lower()
    for text in ("headrace_session=", "httponly", "samesite=strict", "path=/", "max-age=43200"):
        assert text in settings
    assert "secure" not in settings  # plain HTTP on the loopback
    again = site.client.request("GET", ticket)
    assert again.status_code == 401
    assert "used already" in again.text
    headers = {"cookie": first.headers["set-cookie"].partition(";")[0]}
    page = site.client.request("GET", "/", headers=headers)
    assert page.status_code == 200
    assert VALIDATOR in page.text
    actions = [(e.actor, e.action) for e in site.app.store.audit.list(limit=100_000)]
    assert (VALIDATOR, "session.start") in actions


def test_a_pasted_token_signs_in_and_leads_on(site: Site) -> None:
    body = {"token": f"  {site.token(VIEWER)}\n", "next": "/projects/cars"}
    entered = site.client.request("POST", "/signin", headers=SAME_SITE, data=body)
    assert entered.status_code == 303
    assert entered.headers["location"] == "/projects/cars"
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "/" + "a" * 300):
        again = site.client.request("POST", "/signin", headers=SAME_SITE, data={**body, "next": elsewhere})
        assert again.headers["location"] == "/"


def test_a_wrong_token_says_so_and_keeps_the_target(site: Site) -> None:
    body = {"token": "nonsense", "next": "/projects/cars"}
    refused = site.client.request("POST", "/signin", headers=SAME_SITE, data=body)
    assert refused.status_code == 401
    assert 'role="alert"' in refused.text
    assert 'value="/projects/cars"' in refused.text
    assert "set-cookie" not in refused.headers
    empty = site.client.request("POST", "/signin", headers=SAME_SITE, data={})
    assert empty.status_code in (400, 401)


def test_signing_out_ends_the_session(site: Site) -> None:
    headers = _session(site, VIEWER)
    left = site.client.request("POST", "/signout", headers=headers)
    assert left.status_code == 303
    assert left.headers["location"] == "/signin"
    assert 'headrace_session=""' in left.headers["set-cookie"]
    assert site.client.request("GET", "/", headers=headers).status_code == 401


def test_a_session_changes_nothing_for_another_site_nor_over_the_api(site: Site) -> None:
    cookie = {"cookie": _session(site, AUTHOR)["cookie"]}
    foreign = cookie | {"origin": "http://evil.example"}
    for headers in (cookie, foreign, cookie | {"sec-fetch-site": "cross-site"}):
        response = site.client.request("POST", "/projects/cars/rollback", headers=headers)
        assert response.status_code == 403
    api = site.client.request("POST", "/api/v1/projects/cars/rollback", headers=cookie | SAME_SITE)
    assert api.status_code == 401
    assert site.client.request("GET", "/api/v1/projects", headers=cookie).status_code == 200
    login = site.client.request("POST", "/signin", data={"token": "x"})
    assert login.status_code == 403  # nobody is signed in by another site either


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/projects/none", 404), ("/projects/NO", 404), ("/releases/none", 404)],
)
def test_errors_are_pages_for_people_and_problems_for_programs(site: Site, path: str, status: int) -> None:
    page = site.page(path)
    assert page.status_code == status
    assert "Not here" in page.text
    assert site.get(path).headers["content-type"] == "application/problem+json"


def test_a_form_that_is_none_is_refused(site: Site) -> None:
    headers = _session(site, VALIDATOR)
    path = f"/releases/{site.seeded.waiting}/decision"
    post = site.client.request
    assert post("POST", path, headers=headers, json={"decision": "approved"}).status_code == 400
    assert post("POST", path, headers=headers, data={"decision": "perhaps"}).status_code == 400
    assert post("POST", path, headers=headers, data={"comment": "a" * 2001}).status_code == 400
    many = "&".join(f"f{i}=1" for i in range(30))
    form = headers | {"content-type": "application/x-www-form-urlencoded"}
    assert post("POST", path, headers=form, content=many).status_code == 400
    assert post("POST", path, headers=form, content=b"decision=%ff&comment=\xff").status_code == 400
    assert post("POST", path, headers=form, content=b"a" * (65 << 10)).status_code == 413
    assert site.get(f"/releases/{site.seeded.waiting}/decision").status_code == 405


def test_a_refresh_by_the_page_itself_is_answered_like_any_other(site: Site) -> None:
    headers = _session(site, VIEWER) | {"x-headrace-refresh": "1"}
    assert site.client.request("GET", "/projects/cars", headers=headers).status_code == 200


def test_readers_of_the_audit_log_see_pages_too(site: Site) -> None:
    assert site.page("/", by=AUDITOR).status_code == 200


@pytest.mark.requirement("GOV-01")
def test_the_audit_page_shows_searches_and_verifies(site: Site) -> None:
    page = site.page("/audit", by=AUDITOR)
    assert page.status_code == 200
    assert 'aria-current="page">Audit' in page.text
    found = site.page("/audit?text=rollout.move", by=AUDITOR).text
    assert "rollout.move" in found
    assert "access.write" not in found
    assert "No entry that you may read holds this text" in site.page("/audit?text=zzz", by=AUDITOR).text
    verified = site.post("/audit/verify", by=AUDITOR, headers={"accept": "text/html"} | SAME_SITE)
    assert "are as they were written" in verified.text


@pytest.mark.requirement("GOV-01")
def test_the_audit_page_says_how_far_the_log_is_sealed(site: Site) -> None:
    site.post("/audit/verify", by=AUDITOR, headers={"accept": "text/html"} | SAME_SITE)
    seal = site.app.seals.last()
    assert seal is not None
    page = site.page("/audit", by=AUDITOR).text
    assert "up to entry" in page
    assert seal.hash in page
    known = site.get("/api/v1/audit/seal", by=AUDITOR).json()["seal"]
    assert known["number"] >= seal.number


def test_an_entry_leads_to_what_it_is_about(site: Site) -> None:
    raised = site.app.access.incidents.open("odd", VIEWER, "main", title="Something odd")
    for resource, path in (
        (f"incident:{raised.id}", f"/incidents/{raised.id}"),
        (f"principal:{VIEWER}", f"/access/{VIEWER}"),
        (f"release:{site.seeded.live}", f"/releases/{site.seeded.live}"),
        ("project:cars", "/projects/cars"),
    ):
        site.app.store.audit.append("ada", "look.here", resource, {})
        assert f'href="{path}"' in site.page("/audit?text=look.here", by=AUDITOR).text
        assert site.page(path, by=AUDITOR).status_code == 200


@pytest.mark.requirement("GOV-01")
def test_nothing_in_an_entry_turns_the_page_round(site: Site) -> None:
    odd = "evil\u202egnp.exe\n<b>\x1b[2K"
    site.app.store.audit.append(odd, "odd.text", f"artefact:{odd}", {"why": odd, odd: [odd]})
    page = site.page("/audit?text=odd.text", by=AUDITOR).text
    assert "evil\\u202egnp.exe" in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "<b>" not in page


def test_a_menu_holds_what_its_reader_may_open(site: Site) -> None:
    assert 'href="/audit"' in site.page("/", by=AUDITOR).text
    assert 'href="/audit"' not in site.page("/", by=VIEWER).text


@pytest.mark.parametrize(
    "query", ["before=x", "before=-1", "before=99999999999999999999", "text=%00%1b%22'<b>"]
)
def test_odd_questions_to_the_audit_page_break_nothing(site: Site, query: str) -> None:
    page = site.page(f"/audit?{query}", by=AUDITOR)
    assert page.status_code == 200
    assert "<b>" not in page.text


@pytest.mark.requirement("IDN-01")
def test_the_access_page_lists_everybody_and_what_is_left_to_mend(site: Site) -> None:
    page = site.page("/access", by=AUDITOR).text
    for text in ("nightly-scoring", "agent", AUTHOR, "no second factor", "Roles that nobody uses"):
        assert text in page
    shown = site.page("/access/nightly-scoring", by=AUDITOR).text
    assert "What it may do and never did" in shown
    assert "project:flight-delay" in shown
    assert "Freeze" not in shown, "an auditor looks, and changes nothing"
    assert site.page("/access", by=VIEWER).status_code == 403
    assert site.page("/access/nobody-here", by=AUDITOR).status_code == 404


def test_incidents_are_for_those_who_look_into_them(site: Site) -> None:
    listed = site.page("/incidents", by=AUDITOR).text
    title = "vera finds something about nightly-scoring suspicious"
    (address,) = re.findall(rf'href="(/incidents/[^"]+)"[^>]*>{title}<', listed)
    shown = site.page(address, by=AUDITOR).text
    assert "It asked for releases at noon" in shown
    assert site.page(address, by=VIEWER).status_code == 403
    assert site.page("/incidents/nothing", by=AUDITOR).status_code == 404
    assert "Something looks wrong?" in site.page("/flag", by=VIEWER).text


def test_readiness_has_a_page_with_its_gaps_and_the_same_as_json(site: Site) -> None:
    assert 'href="/projects/flight-delay/readiness"' in site.page("/projects/flight-delay", by=VIEWER).text
    page = site.page("/projects/flight-delay/readiness", by=VIEWER)
    assert page.status_code == 200
    for text in ("no groups are compared", "nobody named", "log_loss 0.4381", "MEASURE 2.11"):
        assert text in page.text
    found = site.get("/projects/flight-delay/readiness.json", by=VIEWER).json()
    assert found["project"] == "flight-delay"
    assert site.page("/projects/gone/readiness", by=VIEWER).status_code == 404
