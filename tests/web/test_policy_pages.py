"""The pages of the policy, the rules, waivers and explanations, read only but for what they add."""

from __future__ import annotations

import re

import pytest

from headrace.access.policy import DEFAULT
from headrace.access.rules import LARGEST
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.web.pages.application import page_application
from headrace.web.pages.rendering import Renderer
from headrace.web.pages.texts import problems_of
from tests.web.conftest import Site
from tests.web.governed import ADDRESSES, NO_GENDER, Governed, govern, post, text_of
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import AUDITOR, VIEWER

N_EXAMPLES, AFTER = DEFAULT.count("\n// example: "), DEFAULT.count("\n") + 2
"""Of the policy that comes with Headrace; and the line of what is written behind it."""


@pytest.fixture(scope="module")
def governed(site: Site) -> Governed:
    return govern(site.app)


@pytest.mark.requirement("MCP-13", "GOV-16")
def test_the_policy_in_force_is_shown_with_its_lines_examples_and_history(
    site: Site, governed: Governed
) -> None:
    page = site.page("/policy", by=VIEWER).text
    assert '<a href="/policy/2">version 2</a>' in page
    example = "// example: allow person ann (viewer) project.read project:cars"
    line = DEFAULT.splitlines().index(example) + 1
    assert f'<li id="L{line}"><code>{example}' in page
    assert f"The text decides all {N_EXAMPLES} examples as they say." in page
    assert re.findall(r'href="/policy/(\d)">\d</a>', page)[-4:] == ["3", "2", "1", "0"]
    assert 'href="/policy/propose"' not in page, "a viewer proposes nothing"
    assert 'href="/policy/propose"' in site.page("/policy").text


@pytest.mark.requirement("GOV-16", "GOV-17")
def test_the_rules_in_force_say_what_each_tier_asks_for(site: Site, governed: Governed) -> None:
    page = site.page("/policy/rules", by=VIEWER).text
    assert "gender, native_language" in page
    row = re.search(r"way back<span.*?</tr>", page, re.DOTALL)
    assert row is not None
    assert re.findall(r'aria-label="([a-z ]+)"', row.group()) == ["not asked for", "asked for", "asked for"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_proposal_shows_its_difference_and_its_decision_to_whoever_may(
    site: Site, governed: Governed, address: str
) -> None:
    mine, theirs = site.page(f"{address}/3").text, site.page(f"{address}/3", by=VALIDATOR).text
    assert "<ins>" in mine
    assert "Yours: somebody else decides." in mine
    assert 'value="approved"' not in mine
    assert 'value="approved"' in theirs
    assert 'value="approved"' not in site.page(f"{address}/2", by=VALIDATOR).text, "it was decided"
    assert site.page(f"{address}/9").status_code == 404
    assert site.page(f"{address}/0").status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_text_that_comes_through_a_form_is_the_text_that_was_written(
    site: Site, governed: Governed, address: str
) -> None:
    kind = ADDRESSES[address]
    text = text_of(address, 7) + "# é <b>\n" * (kind is RULES)
    status, location = post(
        site, f"{address}/propose", text=text.replace("\n", "\r\n"), comment=" why\r\nso "
    )
    assert (status, location) == (303, f"{address}/4")
    kept = kind.show(site.app, site.app.identities.resolve(AUTHOR), 4)
    assert (kept.text, kept.comment) == (text, "why\nso")
    edited = site.page(f"{address}/propose?from=4").text
    assert "&lt;b&gt;" in edited or kind is POLICY
    unchanged = re.search(r'name="text"[^>]*>\n(.*?)</textarea>', edited, re.DOTALL)
    assert unchanged is not None


@pytest.mark.parametrize(
    ("address", "text", "line"),
    [
        ("/policy", "// a\npermit (principal, action, resource);", 2),
        ("/policy", DEFAULT + "\npermit (principal", AFTER),
        ("/policy", DEFAULT + "\n// example: allow person ann (viewer) predict project:cars", AFTER),
        ("/policy", '@id("a")\nforbid (principal, action, resource);', None),
        ("/policy/rules", "low: {controls: [magic]}", 1),
        ("/policy/rules", "limits:\n  min_rows: many", 2),
        ("/policy/rules", "a: [", 1),
        ("/policy/rules", NO_GENDER, None),
    ],
)
def test_what_is_wrong_with_a_text_is_named_by_line_while_it_is_written_and_when_it_is_sent(
    site: Site, governed: Governed, address: str, text: str, line: int | None
) -> None:
    answer = site.post(f"{address}/check", data={"text": text})
    assert answer.status_code == 200
    problems = answer.json()["problems"]
    assert [one["line"] for one in problems] == [line]
    status, page = post(site, f"{address}/propose", text=text, comment="mine")
    assert status == 400
    assert problems[0]["text"][:30].replace("'", "&#39;").replace('"', "&#34;") in page
    assert ">\nmine</textarea>" in page, "what was written is not lost"


def test_a_good_text_has_no_problems_and_checking_changes_nothing(site: Site, governed: Governed) -> None:
    before = POLICY.versions(site.app, site.app.identities.resolve(AUTHOR))
    assert site.post("/policy/check", data={"text": DEFAULT + "\n// good\n"}).json() == {"problems": []}
    assert POLICY.versions(site.app, site.app.identities.resolve(AUTHOR)) == before


def test_the_largest_text_fits_and_a_larger_body_is_refused(site: Site, governed: Governed) -> None:
    largest = site.post("/policy/check", data={"text": "/" * LARGEST})
    assert largest.json()["problems"]
    assert site.post("/policy/check", data={"text": "/" * 13 * LARGEST}).status_code == 413
    assert site.post("/policy/3/decision", data={"comment": "/" * LARGEST}).status_code == 413


def test_only_those_who_may_propose_see_the_form_and_have_texts_checked(
    site: Site, governed: Governed
) -> None:
    for address in ADDRESSES:
        assert site.page(f"{address}/propose", by=VIEWER).status_code == 403
        assert site.post(f"{address}/check", by=VIEWER, data={"text": "a"}).status_code == 403


@pytest.mark.requirement("GOV-04")
def test_waivers_are_listed_by_project_with_all_that_makes_them(site: Site, governed: Governed) -> None:
    page = site.page("/policy/waivers", by=VIEWER).text
    waiting, _, rest = page.partition('id="holding"')
    holding, _, over = rest.partition('id="over"')
    assert "control:canary" in waiting
    assert "needs 1 more person" in waiting
    assert "control:documentation" in holding
    assert "approved by grace" in holding
    assert "approved by grace, otto" in over
    assert "expired" in over
    assert "as viewer, may ask for" in page
    assert f'href="/policy/waivers/{governed.waiting}"' in site.page("/approvals", by=AUDITOR).text


def test_an_answer_quotes_the_rule_that_decided(site: Site, governed: Governed) -> None:
    def asked(principal: str, action: str, resource: str, by: str = AUTHOR) -> str:
        query = f"principal={principal}&action={action}&resource={resource}"
        return site.page(f"/policy/explain?{query}", by=by).text

    yes = asked(VALIDATOR, "release.approve", f"release:{site.seeded.waiting}")
    assert "grace may release.approve" in yes
    assert re.search(r'href="/policy#L\d+">validator, line \d+</a>', yes)
    assert "Action::&#34;release.reject&#34;" in yes
    own = asked(AUTHOR, "release.approve", f"release:{site.seeded.waiting}")
    assert "own-work, which holds beside every policy" in own
    none = asked(VIEWER, "predict", "project:cars")
    assert "No rule permits it" in none
    assert "developer, operator, admin" in none
    assert "vera may not predict" in asked(VIEWER, "predict", "project:cars", by=VIEWER), "oneself may ask"
    assert "There is no identity" in asked("nobody", "predict", "project:cars")
    assert "is no resource" in asked(VIEWER, "predict", "cars")
    refused = site.page("/policy/explain?principal=ada&action=predict&resource=project:cars", by=VIEWER)
    assert refused.status_code == 403
    assert 'value="vera"' in site.page("/policy/explain", by=VIEWER).text


@pytest.mark.requirement("IDN-03")
def test_an_identity_leads_to_its_incidents_and_an_incident_to_its_entries(
    site: Site, governed: Governed
) -> None:
    identity = site.page("/access/nightly-scoring").text
    (address,) = set(re.findall(r'href="(/incidents/[^"]+)"', identity))
    assert "What it may do and never did" in identity
    incident = site.page(address).text
    assert 'href="/access/nightly-scoring"' in incident
    (entries,) = re.findall(r'href="(/audit\?text=incident[^"]+)"', incident)
    assert "incident.raise" in site.page(entries).text
    assert "Incidents about it" not in site.page("/access/vera", by=VIEWER).text


def test_every_policy_page_is_in_the_menu_and_among_the_routes(site: Site) -> None:
    routes = {
        getattr(route, "path", "")
        for route in page_application(site.server.parts, Renderer(site.app.clock)).routes
    }
    page = site.page("/policy", by=VIEWER).text
    for address in ("/policy", "/policy/rules", "/policy/waivers", "/policy/explain"):
        assert address in routes
        assert f'href="{address}"' in page
    assert 'href="/policy" aria-current="true"' in site.page("/policy/waivers", by=VIEWER).text


def test_a_refusal_without_a_line_is_one_problem() -> None:
    (one,) = problems_of(ValueError("This is\nin force already."))
    assert (one.line, one.text) == (None, "This is in force already.")
