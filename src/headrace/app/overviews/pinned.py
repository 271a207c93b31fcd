"""Whether the parts of an LLM app are still those that its release was approved with."""

from __future__ import annotations

from headrace.app.composition import App
from headrace.core.errors import HeadraceError
from headrace.core.release import Release
from headrace.gateway.llm.endpoints import FILE, read_providers
from headrace.gateway.llm.pins import Moved, is_pinned, moved, pins_of
from headrace.gateway.prompts import MEDIA_TYPE, Prompt
from headrace.projects.llm import released_guards_personal

_ENDED = ("refused", "rejected", "aborted", "rolled_back", "superseded")


def moved_parts(app: App, release: Release) -> list[Moved]:
    """What of it has moved since it was made; nothing of a release that answers nobody any more."""
    manifest = release.manifest
    is_one = manifest.subject.package.media_type == MEDIA_TYPE and is_pinned(manifest.params)
    if not is_one or release.state in _ENDED:
        return []
    try:
        prompt = Prompt.from_bytes(app.store.artifacts.get(manifest.subject.package.digest))
        providers = read_providers(app.settings.home / FILE)
    except HeadraceError as error:
        return [Moved("what it is compared with", "readable", str(error))]
    personal = released_guards_personal(manifest)
    return list(moved(manifest.params, pins_of(prompt, providers, personal=personal)))
