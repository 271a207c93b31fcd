"""Texts whose personal values stand as tokens, for whoever may read a project's data to make and to read."""

from __future__ import annotations

from headrace.access.privacy.tokenising import Tokeniser
from headrace.app.composition import App
from headrace.core.identity import Principal


def tokenise(app: App, principal: Principal, project: str, text: str) -> str:
    """``text`` with everything recognised as a token of the project's workspace.

    Equal values have equal tokens: who may make them can try out values, and so has to be able to read them.

    Raises:
        Denied: ``principal`` may not read the project's data.
    """
    return _tokeniser(app, principal, project).tokenise(text)


def restore(app: App, principal: Principal, project: str, text: str) -> str:
    """Undo :func:`tokenise`; that it was done is in the audit log.

    Raises:
        Denied: ``principal`` may not read the project's data.
    """
    tokeniser = _tokeniser(app, principal, project)
    app.store.audit.append(principal.name, "data.restore", f"project:{project}", {"characters": len(text)})
    return tokeniser.restore(text)


def _tokeniser(app: App, principal: Principal, project: str) -> Tokeniser:
    app.gatekeeper.require(principal, "data.read", f"project:{project}")
    workspace = app.store.projects.workspace(project)
    return Tokeniser(app.access.privacy.keys.key(workspace, "token", 64))
