"""Prompts by release: each read and verified once, forgotten when no route names it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import NamedTuple

from headrace.core.errors import Denied, InvalidInput
from headrace.core.project import Project
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.pins import Moved
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import Llm


class Loaded(NamedTuple):
    """A prompt ready to be asked, with its guards and whom it is for; ``version`` is its number, and
    ``embedders`` make vectors of its callers' texts and ``moderators`` judge them. ``charter`` and
    ``author`` are those of the release; ``moved``: its parts that are no longer as they were approved;
    ``answering``: the models that answered its evaluation, by their own names."""

    release_id: str
    version: str
    prompt: Prompt
    pipeline: Pipeline
    targets: tuple[Target, ...]
    embedders: tuple[Target, ...] = ()
    moderators: tuple[Target, ...] = ()
    charter: Project | None = None
    author: str = ""
    moved: tuple[Moved, ...] = ()
    answering: frozenset[str] = frozenset()


def require_pinned(loaded: Loaded, spec: Llm) -> None:
    """Let a call pass unless a part of its release has moved and the project wants such calls refused.

    Raises:
        Denied: it does; the message names the first part, and what to do.
    """
    if loaded.moved and spec.pins == "refuse":
        # What is pinned may be an address inside of the house: only the part's name is a caller's to know.
        raise Denied(
            f"Version {loaded.version} was approved with another {loaded.moved[0].part} than there is now. "
            "Restore it, or prove what is there now: headrace run. (llm.pins: refuse)"
        )


def require_named(models: tuple[Target, ...], project: str, *, does: str, key: str, such_as: str) -> None:
    """Let a call pass where the release names a model for it.

    Args:
        does: what the model would do; ``key``: where a prompt names it; ``such_as``: a model that can.

    Raises:
        InvalidInput: it names none; the message says how to name one.

    >>> require_named((Target("a", "b"),), "support", does="moderates", key="moderations", such_as="c/d")
    """
    if not models:
        raise InvalidInput(
            f"The release of {project!r} names no model that {does}. Name one under {key!r} in its prompt, "
            f"such as {such_as}, and release it."
        )


class LoadedPrompts:
    """Safe to use from several threads.

    Args:
        load: reads the prompt of a release; it raises what callers are told.
    """

    def __init__(self, load: Callable[[str], Loaded]) -> None:
        self._load = load
        self._loaded: dict[str, Loaded] = {}
        self._lock = threading.Lock()

    def find(self, release_id: str) -> Loaded | None:
        """The prompt, if it is in memory. Never blocks."""
        return self._loaded.get(release_id)

    def get(self, release_id: str) -> Loaded:
        """The prompt, read on first use; blocks while it is read."""
        found = self._loaded.get(release_id)
        if found is None:
            with self._lock:
                found = self._loaded.get(release_id) or self._load(release_id)
                self._loaded[release_id] = found
        return found

    def keep(self, release_ids: Collection[str]) -> None:
        """Forget every other."""
        with self._lock:
            for release_id in self._loaded.keys() - set(release_ids):
                del self._loaded[release_id]
