"""What is told once a release was approved: where it answers, or what is missing until it does."""

from __future__ import annotations

from headrace.core.release import Release
from headrace.gateway.prompts import is_prompt


def next_step(release: Release, server: str | None) -> str:
    """What comes next for a release that was decided on; empty where nothing does.

    Args:
        server: the address of a server that is up; None: there is none.
    """
    if release.state == "rolling_out":
        if server is None:
            return "It is a canary now and needs traffic: headrace up"
        return f"It is a canary now and gets its part of the calls to {server}"
    if release.state != "live":
        return ""
    texts = is_prompt(release.manifest.subject.ref)
    path = "/v1/chat/completions" if texts else f"/v2/models/{release.project}/infer"
    named = f", as the model {release.project!r}" if texts else ""
    if server is None:
        return f"Answers at {path}{named}{',' if named else ''} once the server is up: headrace up"
    return f"Answers at {server}{path}{named}"
