"""Where one answer comes from: from its id to what was asked, what gave it, and who has judged it since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.app.business.kpis import AnsweredRow, around_answer
from headrace.app.composition import App
from headrace.app.labels.opinions import recorded_row
from headrace.app.llm import traces
from headrace.core.canonical import digest_bytes
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.record import Span
from headrace.core.release import Approval, Release, Verdict
from headrace.gateway.llm.guard_words import told
from headrace.gateway.llm.steps import ANSWER, GUARDS
from headrace.gateway.prompts import Prompt, is_prompt
from headrace.monitoring.dialects import (
    ARGUMENTS,
    DOCUMENTS,
    OPERATION,
    QUERY,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    RESULT,
    TOOL,
)
from headrace.monitoring.spans import Step, Wanted
from headrace.releases.waivers import DRAFTS
from headrace.store.drafts import Draft

_PROVIDER = "gen_ai.provider.name"


@dataclass(frozen=True, kw_only=True)
class Made:
    """The release that answered, and how it came to answer.

    Attributes:
        ref: such as ``prompt:support@3``; ``digest``: of the manifest that was approved.
        approvals, verdicts: who agreed to it, and what its gates found.
        prompt: of a prompt its text and its models; ``background``: name of each part to a digest.
    """

    id: str
    ref: str
    digest: str
    author: str
    cause: str
    commit: str | None
    code: str
    environment: str
    snapshots: tuple[dict[str, str], ...]
    approvals: list[Approval]
    verdicts: list[Verdict]
    prompt: str | None
    models: tuple[str, ...]
    background: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a step before the answer has brought: passages, or the result of a tool.

    Attributes:
        what: ``retrieval`` or ``tool``; ``asked``: the query, or the arguments.
    """

    what: str
    name: str
    at: datetime
    asked: str
    brought: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The chain behind one answer.

    Attributes:
        principal: who asked; ``inputs``: what was asked, as it is on record, by name.
        outputs: what was answered, and all else that is on record of it, by name.
        provider, model: who was asked, and which model said that it answered.
        given: passages and results of tools that the same trace had brought by then.
        guards: rule, layer and action of what they found; ``guards_mean``: the same in plain words.
        oversight: ``draft``: a person decided, or has to; ``waived ID``: by leave; ``none``: nobody had to.
        draft: the decision and who took it, without the texts.
        decided_by: rules of the access policy by which the reviewer could decide, with the policy's digest.
        rows: what was said of it since, by row.
    """

    answer: str
    project: str
    principal: str
    at: datetime
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    trace_id: str | None
    provider: str | None
    model: str | None
    given: list[Given]
    guards: list[str]
    guards_mean: list[str]
    made: Made
    oversight: str
    draft: dict[str, Any] | None
    decided_by: dict[str, Any] | None
    rows: list[AnsweredRow]


def provenance(app: App, me: Principal, project: str, answer: str) -> Provenance:
    """The chain of transformations and inferences behind one answer.

    Args:
        answer: its id, as ``headrace-answer`` or a prediction's ``id`` says it.

    Raises:
        Denied: ``me`` may not read the record and the traces of the project.
        NotFound: there is no such project or answer.

    Example::

        provenance(app, me, "support", answer_id).made.approvals
    """
    app.gatekeeper.require(me, "trace.read", f"project:{project}")
    answer = answer.partition(":")[0]
    rows = around_answer(app, me, project, answer)
    row = recorded_row(app, project, answer)
    steps = _steps(app, me, project, answer)
    own = next((one.span for one in steps if one.span.attributes.get(ANSWER) == answer), None)
    draft = app.store.drafts.find(answer)
    release, at = app.store.releases.get(rows[0].release_id), rows[0].answered_at
    outputs = {name: row[name] for name in row if name.startswith("out_")}
    hits = [*str(outputs.get("out_guards") or "").split("; "), *_listed(own)]
    guards = list(dict.fromkeys(one for one in hits if one))
    said = None if own is None else own.attributes.get(RESPONSE_MODEL)
    return Provenance(
        answer=answer,
        project=project,
        principal=str(row["principal"]),
        at=at,
        inputs={name.removeprefix("in_"): row[name] for name in row if name.startswith("in_")},
        outputs={name.removeprefix("out_"): value for name, value in outputs.items()},
        trace_id=draft.trace_id if draft is not None else None if own is None else own.trace_id,
        provider=None if own is None else _target(own),
        model=str(said or outputs.get("out_model") or "") or None,
        given=[] if own is None else [one for step in steps if (one := _given(step, own))],
        guards=guards,
        guards_mean=[told(one) for one in guards],
        made=_made(app, release),
        oversight=_oversight(app, project, at, draft),
        draft=None if draft is None else _about(draft),
        decided_by=None if draft is None else _basis(app, draft),
        rows=rows,
    )


def _steps(app: App, me: Principal, project: str, answer: str) -> Sequence[Step]:
    """The trace in which it is a step, if that is kept."""
    for one in traces.search(app, me, project, Wanted(text=answer), limit=5):
        found = traces.trace(app, me, project, one.trace_id).steps
        if any(step.span.attributes.get(ANSWER) == answer for step in found):
            return found
    return ()


def _given(step: Step, own: Span) -> Given | None:
    span, said = step.span, step.span.attributes
    if span.span_id == own.span_id or span.started_at > own.ended_at:
        return None
    if DOCUMENTS in said or said.get(OPERATION) == "retrieval":
        what, asked, brought = "retrieval", said.get(QUERY, ""), said.get(DOCUMENTS, "")
    elif RESULT in said or said.get(OPERATION) == "execute_tool":
        what, asked, brought = "tool", said.get(ARGUMENTS, ""), said.get(RESULT, "")
    else:
        return None
    name = str(said.get(TOOL) or span.name)
    return Given(what=what, name=name, at=span.started_at, asked=str(asked), brought=str(brought))


def _made(app: App, release: Release) -> Made:
    manifest = release.manifest
    prompt = None
    if is_prompt(manifest.subject.ref):
        try:
            prompt = Prompt.from_bytes(app.store.artifacts.get(manifest.subject.package.digest))
        except NotFound:  # what it consisted of is deleted, and known by its digest still
            prompt = None
    return Made(
        id=release.id,
        ref=manifest.subject.ref,
        digest=release.digest,
        author=release.author,
        cause=manifest.cause,
        commit=manifest.commit,
        code=manifest.code.digest,
        environment=manifest.environment.digest,
        snapshots=manifest.snapshots,
        approvals=app.store.evidence.approvals(release.id),
        verdicts=app.store.evidence.verdicts(manifest.subject.ref),
        prompt=None if prompt is None else prompt.text,
        models=() if prompt is None else prompt.models,
        background={}
        if prompt is None
        else {name: digest_bytes(text.encode()) for name, text in sorted(prompt.context.items())},
    )


def _oversight(app: App, project: str, at: datetime, draft: Draft | None) -> str:
    if draft is not None:
        return "draft"
    for one in app.store.waivers.list(subject=project):
        granted = one.state in ("granted", "ended") and bool(one.decisions)
        ended = next((d["at"] for d in one.decisions if d["decision"] == "ended"), None)
        until = one.ends_at if ended is None else min(one.ends_at, datetime.fromisoformat(ended))
        if one.rule == DRAFTS and granted and _agreed(one.decisions) <= at < until:
            return f"waived {one.id}"
    return "none"


def _agreed(decisions: Sequence[dict[str, str]]) -> datetime:
    """When the last one had agreed."""
    agreed = [datetime.fromisoformat(one["at"]) for one in decisions if one["decision"] == "agreed"]
    return max(agreed) if agreed else datetime.max.replace(tzinfo=UTC)


def _about(draft: Draft) -> dict[str, Any]:
    names = ("id", "state", "by", "decided_at", "reason", "decides", "reviewers", "principal")
    return {name: getattr(draft, name) for name in names}


def _basis(app: App, draft: Draft) -> dict[str, Any] | None:
    """From the audit log, which names the rules and the policy of each decision."""
    for entry in app.store.audit.search(draft.id):
        if entry.action == "draft.decide" and entry.detail.get("draft") == draft.id:
            return {"at": entry.at, "actor": entry.actor, **entry.detail}
    return None


def _target(own: Span) -> str | None:
    parts = [own.attributes.get(name) for name in (_PROVIDER, REQUEST_MODEL)]
    return "/".join(str(part) for part in parts if part) or None


def _listed(own: Span | None) -> list[str]:
    said = [] if own is None else own.attributes.get(GUARDS, [])
    return [str(one) for one in said] if isinstance(said, list | tuple) else [str(said)]


def facts(found: Provenance) -> Iterator[tuple[str, str]]:
    """The chain in words for people, in its order: each link's name, and what it is."""
    for name, value in found.inputs.items():
        yield f"asked: {name}", str(value)
    yield "asked by", f"{found.principal}, {found.at:%Y-%m-%d %H:%M:%S} UTC"
    for one in found.given:
        yield f"{one.what}: {one.name}", f"{one.asked} -> {one.brought}"
    yield from _made_facts(found.made)
    yield "model", _model_fact(found)
    for guard in found.guards_mean:
        yield "guard", guard
    if "predict" in found.outputs:
        yield "answered", str(found.outputs["predict"]) or _called(found)
    yield "oversight", _oversight_fact(found.oversight)
    if found.draft is not None:
        by = found.draft["by"]
        yield "decision", f"{found.draft['state']} by {by}" if by else str(found.draft["state"])
    for word in (word for row in found.rows for word in row.feedback):
        said = word.text if word.text is not None else word.value
        said = round(said, 3) if isinstance(said, float) else said
        yield f"feedback: {word.name}", f"{said} ({word.by or word.principal})"


def _model_fact(found: Provenance) -> str:
    if not found.model and not found.provider and any(one.endswith(" block") for one in found.guards):
        return "none was asked: a guard blocked the request"
    return f"{found.model or 'not known'}, asked at {found.provider or 'a provider not on record'}"


def _called(found: Provenance) -> str:
    """Of an answer without words; the record names its tools since it keeps them."""
    tools = found.outputs.get("tools")
    if tools or found.outputs.get("finish") in ("tool_calls", "function_call"):
        return f"in no words: it calls {tools or 'a tool'}"
    return ""


def _oversight_fact(oversight: str) -> str:
    if oversight == "draft":
        return "a person decides on the draft before there is an answer"
    if oversight == "none":
        return "nobody had to look at it first"
    return f"nobody had to look at it first, by leave ({oversight})"


def _made_facts(made: Made) -> Iterator[tuple[str, str]]:
    yield "release", f"{made.ref}, {made.id}, approved as {made.digest}"
    yield "made of", f"code {made.code}, environment {made.environment}, by {made.author}: {made.cause}"
    for snapshot in made.snapshots:
        yield "data", f"{snapshot.get('id', '')} {snapshot.get('digest', '')}"
    for name, digest in made.background.items():
        yield f"background: {name}", digest
    for verdict in made.verdicts:
        yield f"gate: {verdict.gate}", f"{verdict.outcome}: {verdict.reason}"
    for approval in made.approvals:
        yield approval.decision, f"by {approval.approver}, {approval.at:%Y-%m-%d %H:%M} UTC"
