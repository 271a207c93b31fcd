"""What MLflow's clients leave alone: keys, places and sources that Headrace or MLflow itself chooses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from headrace.core.errors import Denied, InvalidInput

PROMPT = "mlflow.prompt.is_prompt"
"""The tag by which MLflow tells a prompt from a model."""
_KEPT = "headrace"
_WORKSPACES = "workspaces"
_SPAN_TAG = "mlflow.traceTag."
# Where MLflow looks for a trace's files: whoever may set one reads whatever the server can read.
_OF_MLFLOW = frozenset(
    {
        "mlflow.artifactlocation",
        "mlflow.trace.archivelocation",
        "mlflow.trace.archivalfailure",
        "mlflow.trace.spanslocation",
    }
)
_SOURCES = frozenset({"runs", "models", "mlflow-artifacts"})
_OF_PROMPTS = frozenset({"dummy-source", "prompt-template"})
"""What MLflow's own clients send as the source of a prompt, which has none."""
PLACES = ("path", "artifact_file_path", "artifact_directory_path")
"""Fields that say where among artefacts something is."""
_ODD = re.compile(r"(^|/)\.{0,2}(/|$)|%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f\\#]|^file:", re.IGNORECASE)


def refuse_keys(fields: Mapping[str, Any], path: str = "") -> None:
    """Refuse names of tags and parameters by which Headrace finds its own, or MLflow a trace's files.

    Args:
        path: the path of a request that names a tag by its last segment.
    """
    in_path = [path.rpartition("/")[2]] if path else []
    for key in [*keys(fields), *in_path]:
        plain = key.removeprefix(_SPAN_TAG).casefold()
        if plain.startswith(f"{_KEPT}.") or plain in _OF_MLFLOW:
            raise Denied(f"The key {key[:80]!r} is not for clients to set or delete. Choose another one.")


def keys(value: Any) -> Iterator[str]:
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


def refuse_odd_places(fields: Mapping[str, Any]) -> None:
    """Refuse paths of artefacts that MLflow would take for another place than they say."""
    for name in PLACES:
        place = fields.get(name)
        if isinstance(place, str) and place and _ODD.search(place.rstrip("/")):
            raise Denied(
                f"The {name} {place[:80]!r} is oddly written. Expected names between single slashes."
            )


def refuse_place(place: str, workspace: str, *, writes: bool) -> None:
    """Refuse artefacts of other workspaces, and changes to what Headrace keeps in this one.

    Args:
        place: where in MLflow's store of artefacts, without a leading slash; empty for the top.
        workspace: MLflow's name of the workspace of whoever asks.

    >>> refuse_place("workspaces/default/1/run/artifacts/a.txt", "default", writes=True)
    >>> refuse_place("workspaces", "default", writes=False)
    Traceback (most recent call last):
    headrace.core.errors.Denied: The artefacts 'workspaces' are of no workspace of yours.
    """
    refuse_odd_places({"path": place})
    inside = place.rstrip("/").split("/") if place else []
    if inside and inside[0].casefold() == _WORKSPACES:
        if inside[:2] != [_WORKSPACES, workspace]:
            raise Denied(f"The artefacts {place[:80]!r} are of no workspace of yours.")
        inside = inside[2:]
    if writes and (not inside or inside[0].casefold() == _KEPT):
        raise Denied(
            f"{place[:80]!r} holds {_KEPT}/, Headrace's record of what it proved. Choose another path."
        )


def refuse_source(source: str, tags: Any) -> None:
    """Refuse a version whose files are not in this registry's keeping. A prompt has neither."""
    if _is_prompt(tags):
        if source not in _OF_PROMPTS:
            raise Denied(
                f"The source {source[:120]!r} is no prompt's. Expected {min(_OF_PROMPTS)!r}, as MLflow's "
                f"client sends it; to register a model, leave the tag {PROMPT} out."
            )
    elif urlsplit(source).scheme not in _SOURCES:
        raise Denied(
            f"The source {source[:120]!r} is not in this registry's keeping. Log the model first, then "
            "register runs:/RUN/PATH or models:/ID."
        )


def _is_prompt(tags: Any) -> bool:
    if not isinstance(tags or [], list):
        raise InvalidInput(f"tags is {str(tags)[:80]!r}. Expected a list of key and value.")
    # Whatever its value: what MLflow takes for a prompt must never be more than what this does.
    return any(isinstance(tag, dict) and tag.get("key") == PROMPT for tag in tags or [])
