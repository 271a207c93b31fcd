"""What people and programs may do, each in one function: command line, API and pages call these.

Every function takes the principal first and asks the gatekeeper before anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from headrace.access.privacy.fields import FieldRules
from headrace.app.build import BuildRequest
from headrace.app.compliance import approvals_needed, require_project, require_release
from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.app.flight import settle_flight
from headrace.app.gates.amending import amendable
from headrace.app.gates.baseline_first import as_baseline
from headrace.app.llm.prompting import check_prompts
from headrace.app.overviews import reading
from headrace.app.rollouts.deliver import TICK, follow_live, send_decision, stop_rollout
from headrace.app.rollouts.fallbacks import as_fallback
from headrace.app.workflows import Workflows
from headrace.checks.columns import LARGEST, readable
from headrace.checks.tasks import GENERATIVE, answers_classes
from headrace.core.canonical import digest_of
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.identity import Principal, Resource
from headrace.core.ids import derived_id, new_id
from headrace.core.project import Project
from headrace.core.record import Outcome
from headrace.core.release import Approval, Release
from headrace.monitoring.performance import of_no_class
from headrace.projects.charter import load_project
from headrace.projects.contracts import load_contracts
from headrace.projects.intake import require_admission
from headrace.releases import delivery, splitting
from headrace.releases.promotion import brought_by
from headrace.store.disk import locked
from headrace.store.documents import to_plain
from headrace.store.records import encode_outcome
from headrace.training.definition import check_code, load_definition
from headrace.training.measuring import check_metrics
from headrace.training.own_explainers import check_explainer

_PATIENCE_S = 30.0
DECIDING = ("waiting", "approved", "rolling_out")
"""States that a decision passes through without anybody's help."""
_FEW, _LONGEST = 5, 60
_TRUTHS = ("label", "correction")
_TRUTH_NAMES = {"number": "a number", "class": "a number, true or false", "text": "text"}
_TRUTH_TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "class": (int, float, bool),
    "text": (str,),
    "any": (bool, int, float, str),
}


def declare(app: App, principal: Principal, folder: Path) -> Project:
    """Read the project in ``folder`` and make it known."""
    return make_known(app, principal, load_project(folder), str(folder.resolve()))


def make_known(app: App, principal: Principal, project: Project, path: str) -> Project:
    """Keep what a project promises, and the folder ``path`` of its code."""
    permitted = app.gatekeeper.require(principal, "project.run", declared(app, principal, project.name))
    app.access.privacy.redactor(project)  # what is not installed is said now, not with the first answer
    charter = digest_of(project)
    with app.store.transaction():
        known = {one.name: digest_of(one) for one in app.store.projects.list()}
        before = known.get(project.name)
        moved = before is not None and app.store.projects.path(project.name) != path
        if before != charter or moved:
            detail = {"charter": charter, "before": before, "moved": moved} | permitted.basis
            app.store.audit.append(principal.name, "project.declare", f"project:{project.name}", detail)
            app.store.projects.save(project, path, principal.workspace)
            app.store.epoch.advance()
    return project


def declared(app: App, principal: Principal, name: str) -> str | Resource:
    """The project ``name``; one that is new will belong to the workspace of whoever declares it."""
    try:
        app.store.projects.workspace(name)
    except NotFound:
        return Resource(kind="project", name=name, workspace=principal.workspace)
    return f"project:{name}"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A build under way; ``resumed`` when it had been interrupted before."""

    build_id: str
    resumed: bool


def start_build(
    app: App,
    work: Workflows,
    principal: Principal,
    folder: Path,
    *,
    cause: str,
    until: datetime | None,
    stands_in: bool = False,
    settings_only: bool = False,
    baseline: bool = False,
) -> Started:
    """Start building the project in ``folder``, or go on with its build that was interrupted.

    Args:
        stands_in: build the fallback that it names, instead of a candidate.
        settings_only: release the live model under the settings in ``folder``, and train nothing.
        baseline: build the first variant alone, as the first that goes live.

    Raises:
        Conflict: another process is building it right now, nothing is live whose settings could change, or
            more than the baseline is live already.
        InvalidInput: more than one of these is asked for.
        NotFound, UserCodeError: there is no project.py, or it does not parse.
        GateFailed: a rule of the workspace is not kept, or the project does not say what it is worth, or
            why a model.
    """
    project = declare(app, principal, folder)
    require_project(app, principal, project)
    require_admission(project, is_first=not app.store.runs.list(project.name))
    if stands_in + settings_only + baseline > 1:
        raise InvalidInput("Fallback, settings and baseline are released one by one. Ask for one of them.")
    if stands_in:
        as_fallback(project)
    if baseline:
        as_baseline(app.store, project)
    if settings_only:
        amendable(app, project.name)
    # Two commands at the same moment: one starts, the other one sees that.
    with locked(app.settings.home):
        return _going_on(work, project) or _begin(
            app,
            work,
            project,
            folder,
            author=principal.name,
            cause=cause,
            until=None if until is None else until.isoformat(),
            stands_in=stands_in,
            settings="only" if settings_only else "declared",
            baseline=baseline,
        )


def missing_in(project: Project, folder: Path) -> set[str]:
    """Names of trainers that the project's variants want, and that its code does not have.

    Raises:
        NotFound, UserCodeError: there is no project.py, or it does not load.
        InvalidInput: a prompt cannot be read.
    """
    if project.task in GENERATIVE:
        check_prompts(project, folder)
        return set()
    return {variant.trainer for variant in project.variants} - set(load_definition(folder).trainers)


def _going_on(work: Workflows, project: Project) -> Started | None:
    prefix = f"build:{project.name}:"
    for build_id in work.durable.unfinished("build"):
        if not build_id.startswith(prefix):
            continue
        if work.durable.runs_here(build_id):
            return Started(build_id=build_id, resumed=True)
        raise Conflict(
            f"Project {project.name!r} is being built by another process. Wait for it; "
            f"'headrace status' shows how far it is."
        )
    return None


def _begin(app: App, work: Workflows, project: Project, folder: Path, **asked: Any) -> Started:
    if project.task in GENERATIVE:
        check_prompts(project, folder)
    else:
        check_code(folder)
        check_metrics(project, folder)
        check_explainer(project, folder)
    load_contracts(folder)
    build_id = f"build:{project.name}:{new_id(app.clock.now())}"
    request = BuildRequest(
        build_id=build_id,
        folder=str(folder.resolve()),
        project=project.name,
        **asked,
    )
    detail = {"cause": request.cause, "settings": request.settings}
    app.store.audit.append(request.author, "build.start", f"project:{project.name}", detail)
    work.durable.start("build", build_id, to_plain(request))
    return Started(build_id=build_id, resumed=False)


def decide(
    app: App, work: Workflows, principal: Principal, release_id: str, decision: str, comment: str
) -> Release:
    """Approve or reject a waiting release; the store refuses the author's own decision.

    Returns the release as it stands once the decision has taken effect.

    Raises:
        Denied: the principal is the author, or has no role that may decide.
        Conflict: it is not waiting, was decided otherwise, or is not what was signed.
    """
    if decision not in ("approved", "rejected"):
        raise InvalidInput(f"A decision is 'approved' or 'rejected', got {decision!r}.")
    release = find_release(app, principal, release_id)
    action = "release.approve" if decision == "approved" else "release.reject"
    permitted = app.gatekeeper.require(principal, action, f"release:{release.id}")
    if decision == "approved":
        _require_another(app, principal, release)
        app.signed.package(release)
        require_release(app, release)
    needed = approvals_needed(app, release)
    approval = Approval(
        id=derived_id("approval", release.id, principal.name),
        release_id=release.id,
        digest=release.digest,
        decision=decision,  # type: ignore[arg-type]
        author=release.author,
        approver=principal.name,
        at=app.clock.now(),
        comment=comment,
    )
    detail = {"digest": release.digest, "comment": comment} | permitted.basis
    if proof := app.gatekeeper.circumstance(principal).proof:
        detail["proof"] = proof
    with app.store.transaction():
        if all(known.id != approval.id for known in app.store.evidence.approvals(release.id)):
            detail["evidence"] = delivery.evidence_digest(app.store, release.id)
            app.store.audit.append(principal.name, action, f"release:{release.id}", detail)
        app.store.evidence.approve(approval, needed=needed)
    send_decision(work.durable, approval)
    lacks = decision == "approved" and len(app.store.evidence.approvals(release.id)) < needed
    if lacks or (decision == "approved" and settle_flight(app, release)):
        return app.store.releases.get(release.id)
    return settle(app, work, release.id, leaving=DECIDING)


def _require_another(app: App, principal: Principal, release: Release) -> None:
    """Whoever brought a release here from another installation has done work on it, as its author has."""
    bringer = brought_by(app.store.evidence.verdicts(release.id))
    if bringer is not None and principal.name in app.access.resources.makers(bringer):
        raise Denied(f"{bringer!r} brought release {release.id} here, so somebody else has to approve it.")


def settle(app: App, work: Workflows, release_id: str, *, leaving: Sequence[str]) -> Release:
    """Wait until the release has left the states ``leaving``, at most half a minute.

    A canary stays ``rolling_out`` until traffic has judged it, and what is approved during an A/B test waits
    for its end: neither is waited for.
    """
    deadline_s = app.clock.monotonic_s() + _PATIENCE_S
    release = app.store.releases.get(release_id)
    while release.state in leaving and app.clock.monotonic_s() < deadline_s:
        active = app.store.rollouts.find_active(release.project)
        if release.state == "rolling_out" and active is not None and active.state == "canary":
            break
        if release.state == "approved" and _is_split(app, release.project):
            break
        app.clock.sleep(0.05)
        if work.durable.status(f"deliver:{release_id}") == "failed":
            work.durable.result(f"deliver:{release_id}")
        release = app.store.releases.get(release_id)
    # Who may end this process right after the answer leaves no last step, such as the alias, to the next one.
    while (
        release.state == "live"
        and work.durable.status(f"deliver:{release_id}") == "unfinished"
        and app.clock.monotonic_s() < deadline_s
    ):
        app.clock.sleep(0.05)
    return release


def _is_split(app: App, project: str) -> bool:
    route = app.store.rollouts.route(project)
    return route is not None and route.split is not None


def roll_back(app: App, work: Workflows, principal: Principal, project: str) -> Release:
    """Give the traffic back: stop a rollout or an A/B test under way, else restore the release before.

    Returns the release that answers now.
    """
    permitted = app.gatekeeper.require(principal, "release.rollback", f"project:{project}")
    active = app.store.rollouts.find_active(project)
    route = app.store.rollouts.route(project)
    detail = {"rollout": active and active.release_id} | permitted.basis
    with app.store.transaction():
        app.store.audit.append(principal.name, "release.rollback", f"project:{project}", detail)
        if active is not None:
            stop_rollout(app, active.release_id, principal.name, app.clock.now())
        elif route is not None and route.split is not None:
            restored = splitting.end(app.store, project, route.live, app.clock.now(), by=principal.name)
        else:
            _, restored = delivery.roll_back(app.store, project, by=principal.name)
    if active is not None:
        work.durable.send(f"deliver:{active.release_id}", TICK, "stopped")
        if active.champion_id is None:
            raise NotFound(f"The rollout of {active.release_id} is stopped; nothing of {project!r} is live.")
        return app.store.releases.get(active.champion_id)
    follow_live(app, project, by=principal.name)
    return restored


def record_outcomes(
    app: App, principal: Principal, project: str, items: Sequence[dict[str, Any]]
) -> list[str]:
    """Store labels (or ratings, corrections); durable when it returns. Repeats change nothing.

    Each item: ``subject`` (row id or business key), ``value``, optional ``kind``, ``observed_at``.
    """
    outcomes = outcomes_of(app, principal, project, items)
    app.store.events.append(f"{project}/outcomes", [encode_outcome(outcome) for outcome in outcomes])
    return [outcome.id for outcome in outcomes]


def outcomes_of(
    app: App, principal: Principal, project: str, items: Sequence[dict[str, Any]]
) -> list[Outcome]:
    """What :func:`record_outcomes` would store.

    Raises:
        Denied: ``principal`` may not send labels of the project.
        InvalidInput: an item is not what the project's target is, or no answer of the project can be true.
    """
    app.gatekeeper.require(principal, "label.write", f"project:{project}")
    promised = app.store.projects.get(project)
    if promised.task == "clustering" and any(item.get("kind", "label") in _TRUTHS for item in items):
        raise InvalidInput(
            f"No cluster of {project!r} is the true one, so there are no labels. "
            "Send feedback of another kind."
        )
    now = app.clock.now()
    truth = _truth_of(app, promised)
    rules = app.access.privacy.rules(project)
    return [_outcome(rules, truth, principal.name, item, i, now) for i, item in enumerate(items)]


def label_notes(app: App, project: str, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """What whoever has sent labels should know of them: which are of a class that the live model does not
    know. They are kept, since a class may be new.

    Args:
        items: as of :func:`record_outcomes`, which has taken them.

    Example::

        label_notes(app, "churn", [{"subject": "c-17", "value": "maybe"}])
        # ["1 label is of a class that the live model does not know: 'maybe'. It knows 'no', 'yes'. ..."]
    """
    classes = _classes_of(app, app.store.projects.get(project))
    truths = [item["value"] for item in items if item.get("kind", "label") in _TRUTHS]
    unknown = Counter(of_no_class(truths, classes))
    if not unknown:
        return []
    n = unknown.total()
    note = (
        f"{n:,} {'label is' if n == 1 else 'labels are'} of a class that the live model does not know: "
        f"{_some(list(unknown))}. It knows {_some(list(map(readable, classes)))}. Such labels are kept, "
        "and count as answered wrong. If the class is new, train again on data that has it; if it is a slip, "
        "send the label again."
    )
    return [note]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(repr(name[:_LONGEST]) for name in names[:_FEW]) + more


def _classes_of(app: App, project: Project) -> Sequence[Any]:
    """The classes of the live model."""
    route = app.store.rollouts.route(project.name)
    return () if route is None else app.scorers.of_release(route.live).classes or ()


def _truth_of(app: App, project: Project) -> str:
    """What labels of the project are: ``number``, ``class`` (number, true or false), ``text`` or ``any``."""
    if not answers_classes(project.task):
        return "number"
    classes = _classes_of(app, project)
    if not classes:
        return "any"
    return "text" if isinstance(classes[0], str) else "class"


def _outcome(
    rules: FieldRules, truth: str, principal: str, item: dict[str, Any], index: int, now: datetime
) -> Outcome:
    project = rules.project
    value, subject, kind = item.get("value"), item.get("subject"), item.get("kind", "label")
    if not isinstance(subject, str) or not subject:
        raise InvalidInput(f"labels[{index}].subject is {subject!r}. Expected a row id or a business key.")
    if not isinstance(value, bool | int | float | str) or (
        not isinstance(value, str) and not abs(value) <= LARGEST
    ):
        raise InvalidInput(
            f"labels[{index}].value is {value!r}. Expected text, true, false or a number up to {LARGEST:.1e}."
        )
    if kind in _TRUTHS and type(value) not in _TRUTH_TYPES[truth]:
        raise InvalidInput(
            f"labels[{index}].value is {value!r}. The target {project.data.target!r} of {project.name!r} is "
            f"{_TRUTH_NAMES[truth]}: send its true value as such."
        )
    if isinstance(value, str) and kind not in _TRUTHS:
        value = rules.remark(value)
    observed_at = item.get("observed_at") or now
    subject = rules.subject(subject)
    return Outcome(
        id=derived_id(project.name, kind, subject, str(value), observed_at.isoformat()),
        project=project.name,
        kind=kind,
        subject=subject,
        value=float(value) if isinstance(value, int) and not isinstance(value, bool) else value,
        observed_at=observed_at,
        at=now,
        principal=principal,
    )


def watch_now(app: App, work: Workflows, principal: Principal, project: str) -> dict[str, Any]:
    """Run one round of watching, after the one under way, and one look at a rollout, and wait for both."""
    app.gatekeeper.require(principal, "monitor.run", f"project:{project}")
    app.store.projects.get(project)
    result = work.watching.run_next(project)
    active = app.store.rollouts.find_active(project)
    if active is not None and active.state == "canary":
        work.durable.send(f"deliver:{active.release_id}", TICK, "look")
        deadline_s = app.clock.monotonic_s() + _PATIENCE_S
        while (
            app.store.rollouts.get(active.release_id).looks == active.looks
            and app.clock.monotonic_s() < deadline_s
        ):
            app.clock.sleep(0.02)
    return result


def find_release(app: App, me: Principal, text: str) -> Release:
    """The release with this id, or whose id or digest begins with it, among those that ``me`` may read.

    Raises:
        NotFound: there is none, or more than one.
    """
    return find_one(
        reading.releases(app, me),
        text,
        lambda release: (release.id, release.digest),
        what="release",
        how="headrace release ls",
    )
