"""The served description of the API taken at its word, and not: whatever is sent, by whomever, is at most the
sender's fault, and tells nobody about another workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.identity import ROLES, Principal
from headrace.web.api.application import api_application
from tests.web.conftest import Site, aside, serving

ELSEWHERE = "north"
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | _TEXT
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
# The server's own threads use the module too, and hypothesis cannot tell them from a strategy.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning"
)
_ROUTES_FOR_MANY = ("/predict/", "/predictions/", "/answers", "/explanation", "/outcomes")


class Operation(NamedTuple):
    """One route of the description."""

    method: str
    path: str
    queries: dict[str, Any]
    headers: dict[str, Any]
    body: Any


class Sent(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes | None


class Described:
    """Strategies for requests, from an OpenAPI document."""

    def __init__(self, document: Any, known: dict[str, list[str]]) -> None:
        self._document = document
        self._known = known
        self.operations = [
            self._operation(method, path, described)
            for path, methods in document["paths"].items()
            for method, described in methods.items()
        ]

    def requests(self, *, within: tuple[str, ...] = ("",)) -> st.SearchStrategy[Sent]:
        """Requests to the routes that have one of ``within`` in their path."""
        chosen = [one for one in self.operations if any(part in one.path for part in within)]
        return st.sampled_from(chosen).flatmap(self._sent)

    def _operation(self, method: str, path: str, described: Any) -> Operation:
        given: dict[str, dict[str, Any]] = {"query": {}, "header": {}, "path": {}, "cookie": {}}
        for one in described.get("parameters", []):
            given[one["in"]][one["name"]] = one["schema"]
        content = described.get("requestBody", {}).get("content", {})
        body = content.get("application/json", {}).get("schema")
        return Operation(method.upper(), path, given["query"], given["header"], body)

    def _sent(self, operation: Operation) -> st.SearchStrategy[Sent]:
        parts = {name: self._named(name) for name in re.findall(r"\{(\w+)\}", operation.path)}
        texts = {name: self._values(schema).map(_as_text) for name, schema in operation.queries.items()}
        headers = {name: _TEXT.filter(_is_header) for name in operation.headers}
        body = st.none() if operation.body is None else self._body(operation.body)

        def make(
            names: dict[str, str], query: dict[str, str], headers: dict[str, str], content: bytes | None
        ) -> Sent:
            path = re.sub(r"\{(\w+)\}", lambda at: quote(names[at[1]], safe=""), operation.path)
            text = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
            kind = {} if content is None else {"content-type": "application/json"}
            return Sent(operation.method, f"{path}?{text}" if text else path, headers | kind, content)

        return st.builds(
            make,
            st.fixed_dictionaries(parts),
            st.fixed_dictionaries({}, optional=texts),
            st.fixed_dictionaries({}, optional=headers),
            body,
        )

    def _named(self, name: str) -> st.SearchStrategy[str]:
        known = st.sampled_from([*self._known.get(name, ["cars"]), "some"])
        return known | known | known | _TEXT.filter(lambda text: text.strip("./") != "")

    def _body(self, schema: Any) -> st.SearchStrategy[bytes]:
        return (self._values(schema) | self._values(schema) | _JSON).map(_as_json) | st.binary(max_size=20)

    def _values(self, schema: Any) -> st.SearchStrategy[Any]:
        """Mostly what ``schema`` allows; now and then something else in its place."""
        return st.one_of(*[self._allowed(schema)] * 6, _JSON)

    def _allowed(self, schema: Any) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            found = self._document
            for name in schema["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            return st.deferred(lambda: self._values(found))
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return st.one_of(*[self._values(one) for one in schema[several]])
        if "enum" in schema or "const" in schema:
            return st.sampled_from(schema.get("enum") or [schema["const"]])
        by_type: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
            "object": lambda: self._objects(schema),
            "array": lambda: st.lists(self._values(schema.get("items", {})), max_size=3),
            "string": lambda: _strings(schema, self._known),
            "integer": lambda: st.integers(-3, 1000),
            "number": lambda: st.floats(-1e6, 1e6) | st.integers(-3, 1000),
            "boolean": st.booleans,
            "null": st.none,
        }
        made = by_type.get(schema.get("type", ""))
        return _JSON if made is None else made()

    def _objects(self, schema: Any) -> st.SearchStrategy[dict[str, Any]]:
        properties = {name: self._values(one) for name, one in schema.get("properties", {}).items()}
        needed = {name: properties.pop(name) for name in schema.get("required", []) if name in properties}
        if not properties and not needed:
            more = schema.get("additionalProperties")
            values = self._values(more) if isinstance(more, dict) else _JSON
            return st.dictionaries(st.sampled_from(["mileage", "model"]) | _TEXT, values, max_size=3)
        return st.fixed_dictionaries(needed, optional=properties)


def _strings(schema: Any, known: dict[str, list[str]]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
    names = sorted({name for names in known.values() for name in names})
    return st.sampled_from([*names, "cars", "https://hooks.example/", "a3"]) | _TEXT


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _as_json(value).decode()


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


class Fuzzed(NamedTuple):
    """A site of its own, what it describes, and who may ask: one person in each role, one from elsewhere."""

    site: Site
    described: Described
    people: list[Principal]
    stranger: Principal
    own_words: set[str]

    def send(self, sent: Sent, principal: Principal) -> tuple[int, str]:
        """Status and text of the answer."""
        headers = {**sent.headers, "authorization": f"Bearer {self.site.app.tokens.issue(principal)}"}
        answer = self.site.client.request(sent.method, sent.path, headers=headers, content=sent.content)
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    with aside(serving(tmp_path_factory.mktemp("fuzzed") / "home")) as site:
        store, seeded = site.app.store, site.seeded
        now = site.app.clock.now()
        people = [
            Principal(name=f"fuzzer-{role}", kind="person", roles=(role,), created_at=now) for role in ROLES
        ]
        stranger = Principal(
            name="fuzzer-stranger", kind="person", roles=ROLES, created_at=now, workspace=ELSEWHERE
        )
        for one in (*people, stranger):
            store.principals.save(one)
        store.epoch.advance()
        known = {
            "project": ["cars", "flight-delay"],
            "release_id": [seeded.cars_live, seeded.canary, seeded.waiting],
        }
        document = json.loads(json.dumps(api_application(site.server.parts).openapi()))
        yield Fuzzed(site, Described(document, known), people, stranger, set())


@FUZZ
@given(data=st.data())
def test_no_request_to_any_route_is_the_servers_fault(fuzzed: Fuzzed, data: st.DataObject) -> None:
    sent = data.draw(fuzzed.described.requests())
    status, text = fuzzed.send(sent, data.draw(st.sampled_from(fuzzed.people)))
    assert status < 500, text


@FUZZ
@given(data=st.data())
def test_no_request_about_answers_is_the_servers_fault(fuzzed: Fuzzed, data: st.DataObject) -> None:
    sent = data.draw(fuzzed.described.requests(within=_ROUTES_FOR_MANY))
    status, text = fuzzed.send(sent, data.draw(st.sampled_from(fuzzed.people)))
    assert status < 500, text


def _fields(content: bytes | None) -> set[str]:
    """The texts of a body, each with its name, as an answer would have them."""
    try:
        body = json.loads(content or b"null")
    except ValueError:
        return set()
    fields = body.items() if isinstance(body, dict) else ()
    return {f'"{name}":"{value}"' for name, value in fields if isinstance(value, str) and value}


@FUZZ
@given(data=st.data())
def test_nobody_learns_of_another_workspace(fuzzed: Fuzzed, data: st.DataObject) -> None:
    sent = data.draw(fuzzed.described.requests())
    status, text = fuzzed.send(sent, fuzzed.stranger)
    assert status < 500, text
    fuzzed.own_words.update(_fields(sent.content))
    for said in fuzzed.own_words:  # what they have written themselves may be read to them
        text = text.replace(said, "")
    seeded = fuzzed.site.seeded
    for secret in (seeded.live, seeded.aborted, seeded.waiting, seeded.cars_live, seeded.canary):
        asked = sent.path + (sent.content or b"").decode(errors="replace")
        assert secret in asked or secret not in text
