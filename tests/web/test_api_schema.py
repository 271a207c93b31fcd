"""What the served description of the API promises, asked for by a tool that takes it at its word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headrace.web.api.application import api_application
from tests.web.conftest import Site, aside, serving
from tests.web.making import AUTHOR

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis: pip install schemathesis")
checks: Any = pytest.importorskip("schemathesis.specs.openapi.checks")
MODES = tuple(schemathesis.GenerationMode)
PROMISED = [
    pytest.importorskip("schemathesis.checks").not_a_server_error,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# The server's own threads use the module too, and hypothesis cannot tell them from a strategy.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning"
)


class Described(NamedTuple):
    """A site of its own, the operations of its description, and names that are known there."""

    site: Site
    operations: list[Any]
    known: dict[str, list[str]]

    def cases(self, mode: Any) -> st.SearchStrategy[Any]:
        """Requests to any route: as described, or with something in them that is not."""
        return st.sampled_from(self.operations).flatmap(lambda operation: self._cases(operation, mode))

    def _cases(self, operation: Any, mode: Any) -> st.SearchStrategy[Any]:
        named = {
            name: st.sampled_from(some)
            for name, some in self.known.items()
            if f"{{{name}}}" in operation.path
        }
        return st.fixed_dictionaries(named).flatmap(
            lambda names: operation.as_strategy(generation_mode=mode, path_parameters=names or None)
        )

    def ask(self, case: Any) -> Any:
        """The answer that the author gets."""
        sent = case.as_transport_kwargs(base_url="http://test")
        sent.pop("cookies", None)
        body = sent.pop("data", None)
        sent["data" if isinstance(body, dict) else "content"] = body
        sent["headers"] = {
            **(sent.get("headers") or {}),
            "authorization": f"Bearer {self.site.token(AUTHOR)}",
        }
        return self.site.client.request(sent.pop("method"), sent.pop("url"), **sent)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    with aside(serving(tmp_path_factory.mktemp("described") / "home")) as site:
        document = json.loads(json.dumps(api_application(site.server.parts).openapi()))
        schema = schemathesis.openapi.from_dict(document)
        seeded = site.seeded
        known = {
            "project": ["cars", "flight-delay"],
            "release_id": [seeded.cars_live, seeded.canary, seeded.waiting],
        }
        yield Described(site, [found.ok() for found in schema.get_all_operations()], known)


@settings(
    max_examples=120,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_whatever_is_asked_for_is_answered_as_described(described: Described, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(MODES).flatmap(described.cases))
    answer = described.ask(case)
    case.validate_response(schemathesis.Response.from_httpx(answer, verify=False), checks=PROMISED)
