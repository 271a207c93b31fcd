"""``/policy/explain``: whether somebody may, by which rule, and which roles would suffice."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headrace.access.policy import ACTIONS
from headrace.access.rules import rules_of
from headrace.app.answers.explaining import Explanation, explain
from headrace.app.governance import identities
from headrace.app.governance.policies import POLICY
from headrace.core.errors import HeadraceError, InvalidInput, NotFound
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of


def show(request: Request) -> Response:
    """The question as a form, and its answer."""
    app, me = parts_of(request).app, principal_of(request.scope)
    asked = {name: request.query_params.get(name, "").strip() for name in ("principal", "action", "resource")}
    found: Explanation | None = None
    problem: HeadraceError | None = None
    if asked["action"] or asked["resource"]:
        try:
            found = explain(app, me, asked["principal"], asked["action"], asked["resource"])
        except (InvalidInput, NotFound) as error:
            problem = error
    sees_all = app.gatekeeper.allows(me, "access.read", f"workspace:{me.workspace}")
    return renderer_of(request).page(
        request,
        "explain.html",
        200 if problem is None else 400,
        asked={**asked, "principal": asked["principal"] or me.name},
        found=found,
        own_rules=set() if found is None else {rule.name for rule in rules_of(POLICY.show(app, me).text)},
        problem="" if problem is None else str(problem),
        actions=ACTIONS,
        names=[one.name for one in identities.known(app, me)] if sees_all else [me.name],
    )
