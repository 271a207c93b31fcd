"""What production data has shown, in words."""

from __future__ import annotations

from headrace.app.composition import open_app
from headrace.testing import make_finding, make_project, make_settings
from tests.cli.conftest import Cli


def test_what_to_look_at_first_reads_as_a_sentence(cli: Cli) -> None:
    what = "is 1.61 times what it was in training: another unit?"
    cause = {"cause": "rescaled", "feature": "mileage", "what": what, "share": 0.9}
    segment = {"column": "make", "segment": "Audi", "observed": 2.0, "reference": 1.0, "elsewhere": 1.0}
    with open_app(make_settings(cli.home)) as app:
        app.store.projects.save(make_project(), "")
        for changes in (
            {"evidence": {"causes": [cause]}},
            {"id": "f-2", "kind": "performance", "evidence": segment, "title": "the loss of make: Audi rose"},
        ):
            app.store.findings.add(make_finding(**changes))
    said = cli("monitor", "findings", make_project().name).out
    assert f"Look first at: 'mileage' {what} (rescaled)\n" in said
    assert "then: the loss of make: Audi rose (relation in segment)\n" in said
