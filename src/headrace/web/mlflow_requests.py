"""Reads what a request to MLflow wants out of its route and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.app.registry.tracking import Change, Wish
from headrace.core.errors import Denied, InvalidInput
from headrace.web.mlflow_kept import (
    PROMPT,
    keys,
    refuse_keys,
    refuse_odd_places,
    refuse_place,
    refuse_source,
)
from headrace.web.mlflow_routes import Route

_REGISTRY = "/api/2.0/mlflow/"
_CREATE_VERSION = f"{_REGISTRY}model-versions/create"
_ARTIFACTS = "/mlflow-artifacts/artifacts"


class _Changes(NamedTuple):
    """How a route of the registry changes what production might follow; ``field`` holds the new value."""

    change: Change
    field: str


_CHANGES = {
    ("POST", f"{_REGISTRY}registered-models/alias"): _Changes("alias", "alias"),
    ("DELETE", f"{_REGISTRY}registered-models/alias"): _Changes("alias", "alias"),
    ("POST", f"{_REGISTRY}model-versions/transition-stage"): _Changes("stage", "stage"),
    ("POST", f"{_REGISTRY}registered-models/rename"): _Changes("rename", "new_name"),
    ("DELETE", f"{_REGISTRY}registered-models/delete"): _Changes("delete", "name"),
    ("DELETE", f"{_REGISTRY}model-versions/delete"): _Changes("delete_version", "version"),
}
_NAMED = (f"{_REGISTRY}registered-models/", f"{_REGISTRY}model-versions/", f"{_REGISTRY}experiments/")


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request; MLflow gets it written anew, so that both read the same.

    Raises:
        InvalidInput: it is something else.
    """
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is no JSON ({error}). Send what MlflowClient sends.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"The body is a {type(found).__name__}. Expected a JSON object.")
    return found


def wish_of(route: Route, path: str, fields: Mapping[str, Any], workspace: str) -> Wish:
    """What a request wants.

    Args:
        fields: its JSON, or its query where it has none.
        workspace: MLflow's name of the workspace of whoever asks.

    Raises:
        InvalidInput: a field that decides has another form or another spelling than MlflowClient gives it.
        Denied: it writes what only Headrace writes, or names a place that MLflow must not look at.
    """
    writes = route.kind not in ("read", "closed")
    refuse_odd_places(fields)
    if _ARTIFACTS in route.pattern:
        refuse_place(_place_of(path, fields), workspace, writes=writes)
    named = route.pattern.startswith(_NAMED)
    name = _text(fields, "name") or _text(fields, "experiment_name") if named else ""
    if not writes:
        return Wish(writes=False, name=name or None)
    refuse_keys(fields, path if route.pattern.endswith("/tags/{}") else "")
    if route.pattern == _CREATE_VERSION:
        refuse_source(_text(fields, "source"), fields.get("tags"))
    if route.pattern == f"{_REGISTRY}experiments/create" and _text(fields, "artifact_location"):
        raise Denied(
            "An experiment cannot choose where its artefacts are kept: whoever reads them goes through "
            "Headrace. Leave artifact_location out."
        )
    changes = _CHANGES.get((route.method, route.pattern))
    if changes is None:
        prompt: Change = "prompt" if PROMPT in keys(fields) else "none"
        return Wish(writes=True, name=name or None, change=prompt)
    # MLflow also takes newName for new_name: what was judged must be what it reads.
    odd = sorted(key for key in fields if key != key.lower())
    if odd:
        raise InvalidInput(
            f"Fields are called {odd}. Expected the names that MlflowClient uses: {changes.field}."
        )
    return Wish(writes=True, name=name or None, change=changes.change, value=_text(fields, changes.field))


def creates_version(route: Route) -> bool:
    """Whether a request registers a model version."""
    return route.pattern == _CREATE_VERSION


def _place_of(path: str, fields: Mapping[str, Any]) -> str:
    """Where in the store of artefacts a request reads or writes: its path says so, or its query."""
    _, _, place = path.partition(_ARTIFACTS)
    return place.removeprefix("/") or _text(fields, "path")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{name} is {str(value)[:80]!r}. Expected text.")
    return value
