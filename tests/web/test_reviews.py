"""Periodic reviews on pages, over the API and on the command line's side of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.project import ReviewSpec
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import VIEWER
from tests.web.test_pages import SAME_SITE, _session


def _ask(site: Site, days: int, by: str = "") -> str:
    """``flight-delay`` has been live for 69 days; returns the id of what is."""
    store = site.app.store
    project = replace(store.projects.get("flight-delay"), review=ReviewSpec(every_days=days, by=by))
    store.projects.save(project, store.projects.path("flight-delay"))
    return site.seeded.live


@pytest.mark.requirement("GOV-15")
def test_an_overdue_review_is_shown_and_done_on_the_projects_page(own_site: Site) -> None:
    live = _ask(own_site, 30)
    for path in ("/", "/approvals", "/projects/flight-delay"):
        page = own_site.page(path, by=VALIDATOR).text
        assert "review" in page
        assert "overdue" in page or "its review was due on" in page
    page = own_site.page("/projects/flight-delay", by=VALIDATOR).text
    for text in ("every 30 days", "It is fit for its use", "Attached as evidence"):
        assert text in page
    assert "It is fit for its use" not in own_site.page("/projects/flight-delay", by=AUTHOR).text
    assert "your roles may not review it" in own_site.page("/projects/flight-delay", by=VIEWER).text
    data = {"release": live, "outcome": "fit", "looked_at": "drift & groups\r\nof <June>"}
    path, session = "/projects/flight-delay/review", _session(own_site, VALIDATOR)
    for wrong in ({"outcome": "fine"}, {"looked_at": " "}):
        assert own_site.client.request("POST", path, headers=session, data=data | wrong).status_code == 400
    elsewhere = own_site.client.request("POST", "/projects/cars/review", headers=session, data=data)
    assert elsewhere.status_code == 404, "the release is of another project"
    viewer = _session(own_site, VIEWER)
    assert own_site.client.request("POST", path, headers=viewer, data=data).status_code == 403
    assert own_site.client.request("POST", path, headers=session | SAME_SITE, data=data).status_code == 303
    page = own_site.page("/projects/flight-delay", by=VALIDATOR).text
    assert "drift &amp; groups\nof &lt;June&gt;" in page
    assert f"{VALIDATOR}, <time" in page
    assert "its review was due" not in own_site.page("/", by=VALIDATOR).text


@pytest.mark.requirement("GOV-15")
def test_a_review_is_recorded_over_the_api(own_site: Site) -> None:
    live = _ask(own_site, 365, by="validator")
    (due,) = own_site.get("/api/v1/reviews", by=VIEWER).json()
    assert (due["release_id"], due["overdue"], due["by"]) == (live, False, "validator")
    body = {"outcome": "unfit", "looked_at": "the loss has grown"}
    path = f"/api/v1/releases/{live}/reviews"
    assert own_site.post(path, json=body, by=VIEWER).status_code == 403
    assert own_site.post(path, json=body | {"outcome": "fine"}, by=VALIDATOR).status_code in (400, 422)
    made = own_site.post(path, json=body, by=VALIDATOR)
    assert made.status_code == 201, made.text
    assert own_site.get("/api/v1/projects/flight-delay/reviews", by=VIEWER).json() == [made.json()]
    assert len(made.json()["findings"]) == 2, "a shift of the predictions, and the loss"
    assert own_site.get("/api/v1/reviews", by=VIEWER).json()[0]["overdue"] is True
    assert "found flight-delay@2 unfit" in own_site.page("/projects/flight-delay", by=VIEWER).text
    waiting = f"/api/v1/releases/{own_site.seeded.waiting}/reviews"
    assert own_site.post(waiting, json=body, by=VALIDATOR).status_code == 409
