"""Texts that hold for a workspace: what is in force, is proposed and was; proposing and deciding."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from headrace.access.examples import Failed, examples_of
from headrace.access.rules import LARGEST
from headrace.app.composition import App
from headrace.app.governance import controls, policies
from headrace.app.governance.reviewed_texts import ReviewedTexts, Shown
from headrace.app.inbox import why_not_decide
from headrace.app.llm import acceptable_use, providers, stopping, usage
from headrace.core.errors import Conflict, GateFailed, HeadraceError, InvalidInput
from headrace.core.identity import Principal
from headrace.gateway.llm import uses
from headrace.projects.controls import CONTROLS, read_rules
from headrace.projects.risk import TIERS
from headrace.web.identity import principal_of
from headrace.web.pages.differences import changes
from headrace.web.pages.forms import read_comment, read_decision, read_form, unix_lines
from headrace.web.pages.rendering import parts_of, renderer_of

_LINE = re.compile(r"\bline (\d{1,6})\b", re.IGNORECASE)
_REFUSALS = (InvalidInput, GateFailed, Conflict)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that keeps a text from being proposed, and the line that it is about, counted from 1."""

    line: int | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Proved:
    """One of a policy's own examples; ``failed`` says how the policy decides it, if otherwise."""

    line: int
    text: str
    failed: Failed | None


class Meaning(NamedTuple):
    """What a text says, for those who do not read its language: a template and what fills it."""

    template: str
    values: Callable[[App, Principal, Shown], dict[str, Any]]


class TextPages:
    """The pages of one kind of reviewed text.

    Args:
        address: where they are.
        title: as in a heading.
        lead: what such a text does, in a sentence.
        largest: how many characters one may have.
        meaning: what is shown beside a text.
    """

    def __init__(
        self, texts: ReviewedTexts, *, address: str, title: str, lead: str, largest: int, meaning: Meaning
    ) -> None:
        self.texts = texts
        self.address = address
        self.title = title
        self.lead = lead
        self.largest = largest
        self.meaning = meaning

    def show(self, request: Request) -> Response:
        """What is in force, what waits and what was."""
        app, me = parts_of(request).app, principal_of(request.scope)
        shown = self.texts.show(app, me)
        return renderer_of(request).page(
            request,
            "texts.html",
            pages=self,
            shown=shown,
            versions=self.texts.versions(app, me)[::-1],
            may_propose=app.gatekeeper.allows(me, "policy.propose", self.texts.resource(me.workspace)),
            **self.meaning.values(app, me, shown),
        )

    def show_version(self, request: Request) -> Response:
        """One version: what it would change or changed, how it does, and the decision on it."""
        app, me = parts_of(request).app, principal_of(request.scope)
        shown = self.texts.show(app, me, request.path_params["version"])
        present = self.texts.show(app, me)
        resource = self.texts.resource(me.workspace, shown.version)
        why_not = why_not_decide(app, me, "policy.decide", resource, shown.author or "")
        return renderer_of(request).page(
            request,
            "text.html",
            pages=self,
            shown=shown,
            present=present,
            groups=changes(present.text, shown.text),
            why_not=why_not,
            lacks_proof=app.gatekeeper.lacks_proof(me, "policy.decide", resource),
            may_propose=app.gatekeeper.allows(me, "policy.propose", self.texts.resource(me.workspace)),
            **self.meaning.values(app, me, shown),
        )

    def edit(self, request: Request) -> Response:
        """The form for proposing a text; it begins with the one in force, or with a version's."""
        app, me = parts_of(request).app, principal_of(request.scope)
        app.gatekeeper.require(me, "policy.propose", self.texts.resource(me.workspace))
        wanted = request.query_params.get("from", "")
        version = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else None
        return self._editor(request, self.texts.show(app, me, version).text)

    async def propose(self, request: Request) -> Response:
        """Put the text up; one that cannot be used comes back with what is wrong, line by line."""
        app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
        text, comment = unix_lines(form.get("text", "")), read_comment(form)
        try:
            made = await run_in_threadpool(self.texts.propose, app, me, text, comment)
        except _REFUSALS as error:
            return await run_in_threadpool(self._editor, request, text, comment, error)
        return RedirectResponse(f"{self.address}/{made.version}", 303)

    async def check(self, request: Request) -> Response:
        """What is wrong with a text while it is being written, as our script asks."""
        app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
        try:
            await run_in_threadpool(self.texts.examine, app, me, unix_lines(form.get("text", "")))
        except _REFUSALS as error:
            return JSONResponse({"problems": [vars(one) for one in problems_of(error)]})
        return JSONResponse({"problems": []})

    async def settle(self, request: Request) -> Response:
        """Approve or reject, as the page's buttons say."""
        app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
        decision, version = read_decision(form), request.path_params["version"]
        await run_in_threadpool(self.texts.decide, app, me, version, decision, read_comment(form))
        return RedirectResponse(f"{self.address}/{version}", 303)

    def _editor(
        self, request: Request, text: str, comment: str = "", error: HeadraceError | None = None
    ) -> Response:
        return renderer_of(request).page(
            request,
            "text_editor.html",
            200 if error is None else 400,
            pages=self,
            text=text,
            comment=comment,
            problems=[] if error is None else problems_of(error),
        )


def problems_of(error: Exception) -> list[Problem]:
    r"""Each line of a refusal that names a line of the text; its first sentence if none does.

    >>> problems_of(InvalidInput("It cannot be used:\n  line 3, column 1: no such key\nMend it."))
    [Problem(line=3, text='line 3, column 1: no such key')]
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [Problem(line=int(place[-1]), text=line) for line in lines if (place := _LINE.findall(line))]
    return found or [Problem(line=None, text=" ".join(lines))]


def _policy_meaning(app: App, me: Principal, shown: Shown) -> dict[str, Any]:
    try:
        failed = {one.line: one for one in policies.try_examples(app, me, shown.text).failed}
        found = [
            Proved(line=one.line, text=one.text, failed=failed.get(one.line))
            for one in examples_of(shown.text)
        ]
    except InvalidInput as error:
        return {"examples": [], "unusable": str(error)}
    return {"examples": found, "unusable": ""}


def _rules_meaning(_app: App, _me: Principal, shown: Shown) -> dict[str, Any]:
    try:
        rules, unusable = read_rules(shown.text), ""
    except InvalidInput as error:
        rules, unusable = None, str(error)
    return {"rules": rules, "unusable": unusable, "controls": CONTROLS, "tiers": TIERS}


def _uses_meaning(app: App, me: Principal, shown: Shown) -> dict[str, Any]:
    everything = f"workspace:{me.workspace}"
    beside = {
        "offered": providers.offered(app, me),
        "stops": stopping.stops(app, me),
        "may_stop": app.gatekeeper.allows(me, stopping.RIGHT, everything),
        "stoppable": usage.answering(app, me),
    }
    try:
        return {"uses": uses.read_uses(shown.text), "unusable": ""} | beside
    except InvalidInput as error:
        return {"uses": None, "unusable": str(error)} | beside


def _terms_meaning(app: App, me: Principal, _shown: Shown) -> dict[str, Any]:
    may_list = app.gatekeeper.allows(me, "access.read", f"workspace:{me.workspace}")
    return {
        "mine": acceptable_use.mine(app, me),
        "given": acceptable_use.acknowledgements(app, me) if may_list else None,
        "is_person": me.kind == "person",
    }


async def acknowledge(request: Request) -> Response:
    """The reader has read the policy, as the page's button says."""
    app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
    version = form.get("version", "")
    if not version.isdecimal() or len(version) > 9:
        raise InvalidInput(f"The version is {version[:20]!r}. Expected a number: open the page again.")
    await run_in_threadpool(acceptable_use.acknowledge, app, me, int(version))
    return RedirectResponse(TERMS_PAGES.address, 303)


async def switch(request: Request) -> Response:
    """The kill switch: stop calls, or let them be made again."""
    app, me, form = parts_of(request).app, principal_of(request.scope), await read_form(request)
    act = stopping.resume if form.get("do") == "resume" else stopping.stop
    await run_in_threadpool(act, app, me, form.get("project") or None, form.get("reason", ""))
    return RedirectResponse(LLM_USE_PAGES.address, 303)


POLICY_PAGES = TextPages(
    policies.POLICY,
    address="/policy",
    title="Access policy",
    lead="What is allowed to whom, in Cedar. What no rule permits is denied.",
    largest=LARGEST,
    meaning=Meaning("policy_examples.html", _policy_meaning),
)
RULES_PAGES = TextPages(
    controls.RULES,
    address="/policy/rules",
    title="Rules for projects",
    lead="What every project inherits: the controls of its risk tier, and limits that none may loosen.",
    largest=controls.LARGEST,
    meaning=Meaning("rules_table.html", _rules_meaning),
)
LLM_USE_PAGES = TextPages(
    usage.LLM_USE,
    address="/policy/llm",
    title="Use of language models",
    lead="Which team may use which model, for what, with which data. What no entry allows is refused.",
    largest=uses.LARGEST,
    meaning=Meaning("llm_uses.html", _uses_meaning),
)
TERMS_PAGES = TextPages(
    acceptable_use.ACCEPTABLE_USE,
    address="/policy/acceptable-use",
    title="Acceptable use of AI",
    lead="What everybody acknowledges before they, or what they own, call a language model.",
    largest=acceptable_use.LARGEST,
    meaning=Meaning("acknowledge.html", _terms_meaning),
)
ALL = (POLICY_PAGES, RULES_PAGES, LLM_USE_PAGES, TERMS_PAGES)
LARGER_FORMS = {
    f"{pages.address}/{path}": 12 * (pages.largest + 2_000) for pages in ALL for path in ("propose", "check")
}
"""Where a form holds a whole text, and its bytes: it writes a character as twelve at most."""
