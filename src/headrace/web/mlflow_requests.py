"""Reads what a request to MLflow wants out of its route and its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from headrace.app.tracking import Change, Wish
from headrace.core.errors import Denied, InvalidInput
from headrace.web.mlflow_routes import Route

_REGISTRY = "/api/2.0/mlflow/"
_CREATE_VERSION = f"{_REGISTRY}model-versions/create"
_KEPT = "headrace/"
_ARTIFACTS = "/mlflow-artifacts/artifacts/"
_SOURCES = frozenset({"runs", "models", "mlflow-artifacts"})
_PROMPT = "mlflow.prompt.is_prompt"


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


def wish_of(route: Route, path: str, fields: Mapping[str, Any]) -> Wish:
    """What a request wants.

    Args:
        fields: its JSON, or its query where it only reads.

    Raises:
        InvalidInput: a field that decides has another form or another spelling than MlflowClient gives it.
        Denied: it writes what only Headrace writes, or names a place that MLflow must not look at.
    """
    writes = route.kind in ("write", "upload")
    named = route.pattern.startswith(_NAMED)
    name = _text(fields, "name") or _text(fields, "experiment_name") if named else ""
    if not writes:
        return Wish(writes=False, name=name or None)
    _refuse_ours(route, path, fields)
    if route.pattern == _CREATE_VERSION:
        _refuse_source(fields)
    if route.pattern == f"{_REGISTRY}experiments/create" and _text(fields, "artifact_location"):
        raise Denied(
            "An experiment cannot choose where its artefacts are kept: whoever reads them goes through "
            "Headrace. Leave artifact_location out."
        )
    changes = _CHANGES.get((route.method, route.pattern))
    if changes is None:
        return Wish(writes=True, name=name or None)
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


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{name} is {str(value)[:80]!r}. Expected text.")
    return value


def _refuse_ours(route: Route, path: str, fields: Mapping[str, Any]) -> None:
    """Tags and artefacts by which Headrace finds its own, and where MLflow finds a trace's files."""
    _, _, artifact = path.partition(_ARTIFACTS)
    inside = artifact.removeprefix("workspaces/").partition("/")[2] if "workspaces/" in artifact else artifact
    if inside.casefold().startswith(_KEPT) or artifact.casefold().startswith(_KEPT):
        raise Denied(f"Artefacts below {_KEPT} are Headrace's record of what it proved. Choose another path.")
    in_path = [path.rpartition("/")[2]] if route.pattern.endswith("/tags/{}") else []
    for key in [*_keys(fields), *in_path]:
        if key.casefold().startswith("headrace.") or key == "mlflow.artifactLocation":
            raise Denied(f"The key {key[:80]!r} is set by Headrace alone. Choose another one.")


def _keys(value: Any) -> Iterator[str]:
    """Every name in a JSON document: of members, and what lists of tags call ``key``."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, Mapping):
            yield from one
            waiting.extend(one.values())
            if isinstance(one.get("key"), str):
                yield one["key"]


def _refuse_source(fields: Mapping[str, Any]) -> None:
    tags = fields.get("tags") or []
    prompt = isinstance(tags, list) and any(
        isinstance(tag, dict) and tag.get("key") == _PROMPT for tag in tags
    )
    source = _text(fields, "source")
    if not prompt and urlsplit(source).scheme not in _SOURCES:
        raise Denied(
            f"The source {source[:120]!r} is not in this registry's keeping. Log the model first, then "
            "register runs:/RUN/PATH or models:/ID."
        )
