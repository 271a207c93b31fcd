"""Which team may use which language model for what: the list in force, asking for more, and alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.access.reviewed_texts import newest_usable
from headrace.app.answers.serving import answers_by
from headrace.app.composition import App
from headrace.app.governance.reviewed_texts import Present, ReviewedTexts
from headrace.app.llm.acceptable_use import acknowledged, published
from headrace.core.errors import Conflict, Denied, HeadraceError, InvalidInput
from headrace.core.identity import MAIN, PolicyText, Principal
from headrace.core.project import Project
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.endpoints import FILE, Target, read_providers
from headrace.gateway.llm.permits import Permits, Refusal, Standing
from headrace.gateway.llm.uses import HOUSE, LARGEST, Use, Uses, need_of, read_uses, with_use
from headrace.gateway.prompts import Prompt

SYSTEM = "system:llm-use"
_NAMED_BESIDE = ("principal", "project")


@dataclass(frozen=True, kw_only=True)
class Instead:
    """What may be done in place of a call that is refused.

    Attributes:
        permitted: the models of the project's live release that may be called as it is.
        models: every model that may be used for this, with this data.
        projects: those that ``me`` may ask at once, and whose own calls are permitted.
    """

    project: str
    purpose: str
    data_class: str
    permitted: tuple[str, ...]
    models: tuple[str, ...]
    projects: tuple[str, ...]


def subject_of(workspace: str) -> str:
    """What the lists of a workspace are about."""
    return f"llm-use:{workspace}"


def permits_of(app: App) -> Permits:
    """What holds for calls, followed from now on; nothing is read yet."""
    providers = read_providers(app.settings.home / FILE)
    declared = Declared(providers, closed=app.settings.closed)

    def instead(me: Principal) -> Sequence[str]:
        return [name for name in answering(app, me) if _passes(app, permits, me, name)]

    def refused(refusal: Refusal) -> None:
        detail = {key: value for key, value in refusal._asdict().items() if key not in _NAMED_BESIDE}
        app.store.audit.append(refusal.principal, "llm.refused", f"project:{refusal.project}", detail)

    decided = (app.store.policies, app.store.llm_stops, app.store.acknowledgements)
    permits = Permits(
        read=lambda team: standing(app, team),
        edition=lambda: [store.edition() for store in decided],
        providers=providers,
        declared=declared,
        refused=refused,
        instead=instead,
        lasting=lambda me, name: app.gatekeeper.lasting(me, "predict", f"project:{name}"),
        epoch=app.store.epoch,
        clock=app.clock,
    )
    return permits


def standing(app: App, team: str) -> Standing:
    """What has been decided about the calls of a team: by itself, and for everybody in ``main``; and every
    stop, because a project's holds for callers from elsewhere too."""
    both = dict.fromkeys((MAIN, team))
    found = published(app, team)
    policy = None if found is None else found[0]
    return Standing(
        stops=tuple(app.store.llm_stops.list(state="on")),
        policy=policy,
        acknowledged=frozenset() if policy is None else acknowledged(app, policy),
        lists=tuple(_in_force(app, where)[1] for where in both),
    )


def answering(app: App, me: Principal) -> list[str]:
    """The projects whose answers are texts, are live, and may be asked by ``me``."""
    follows = answers_by(app, "prompt")
    names = (route.project for route in app.store.rollouts.routes() if follows(route))
    return sorted(name for name in names if app.gatekeeper.allows(me, "predict", f"project:{name}"))


def instead(app: App, me: Principal, name: str) -> Instead:
    """What ``me`` may use for what a project is for. Raises Denied, NotFound."""
    app.gatekeeper.require(me, "project.read", f"project:{name}")
    project, permits = app.store.projects.get(name), permits_of(app)
    need = need_of(project, permits.declared.of(project), me.workspace)
    return Instead(
        project=name,
        purpose=need.purpose,
        data_class=need.data_class,
        permitted=tuple(map(str, _permitted(app, permits, me, name))),
        models=tuple(map(str, permits.alternatives(me.workspace, project))),
        projects=tuple(one for one in permits.instead(me) if one != name),
    )


def ask(app: App, me: Principal, name: str, model: str, reason: str) -> PolicyText:
    """Ask that a project may use a model: a version of the list that has one entry more, for others to
    decide. Whoever has a role may ask.

    Raises:
        Denied, NotFound: it is not there for ``me``.
        InvalidInput: the model has no provider here, or the project declares no purpose.
        Conflict: it is allowed already, or by the list of ``main`` alone that it is not.
    """
    app.gatekeeper.require(me, "project.read", f"project:{name}")
    project, target = app.store.projects.get(name), Target.parse(model)
    permits = permits_of(app)
    permits.providers.get(target.endpoint)
    need = need_of(project, permits.declared.of(project), me.workspace)
    if not need.purpose:
        raise InvalidInput(
            f"{name!r} does not say what it asks language models for, so nothing can be allowed for it. Add "
            "llm: {purpose: NAME} to headrace.yaml, such as purpose: support, and run it."
        )
    _, uses, text = _in_force(app, me.workspace)
    if uses.allows(need, target):
        theirs = _in_force(app, MAIN)[1].allows(need, target)
        where = "" if theirs else " here, and not by the list of the workspace main: ask somebody there"
        raise Conflict(f"{target} is allowed for {need.purpose} with {need.data_class} data already{where}.")
    use = Use(models=(str(target),), purposes=(need.purpose,), data=(need.data_class,))
    return LLM_USE.propose(app, me, with_use(text, use), reason, "grant.ask")


def _passes(app: App, permits: Permits, me: Principal, name: str) -> bool:
    try:
        return bool(_permitted(app, permits, me, name))
    except HeadraceError:
        return False  # what cannot be read now is no alternative


def _permitted(app: App, permits: Permits, me: Principal, name: str) -> Sequence[Target]:
    """The models of a project's live release that may be called for ``me``."""
    route = app.store.rollouts.route(name)
    if route is None:
        return ()
    project: Project = app.access.privacy.rules(name).project
    package = app.store.releases.get(route.live).manifest.subject.package
    prompt = Prompt.from_bytes(app.store.artifacts.get(package.digest))
    targets = [Target.parse(model) for model in prompt.models]
    fit = permits.of_team(me.workspace, project, targets, refuse=False)
    try:
        return permits.declared.permitted(project, fit)
    except Denied:
        return ()


def _in_force(app: App, workspace: str) -> tuple[int, Uses, str]:
    """Version, list and text; Headrace's own where there is none."""

    def report(text: PolicyText, why: str) -> None:
        app.access.incidents.open(
            "rules_broken",
            text.author,
            workspace,
            title=f"Version {text.version} of the list of allowed uses cannot be read; the one before holds",
            raised_by=SYSTEM,
            evidence={"why": why, "version": text.version},
        )

    def read(text: PolicyText) -> tuple[int, Uses, str]:
        return text.version, read_uses(text.text), text.text

    found = newest_usable(app.store.policies, workspace, subject_of(workspace), read=read, report=report)
    return found or (0, read_uses(HOUSE), HOUSE)


def _present(app: App, workspace: str) -> Present:
    version, _, text = _in_force(app, workspace)
    return Present(version, text)


def _check(_app: App, _workspace: str, text: str) -> None:
    if len(text) > LARGEST:
        raise InvalidInput(f"The list has {len(text)} characters. Expected at most {LARGEST}.")
    read_uses(text)


LLM_USE = ReviewedTexts(
    name="list of allowed uses",
    command="headrace llm use",
    audited_as="llm_use",
    subject_of=subject_of,
    default=lambda: HOUSE,
    present=_present,
    check=_check,
    judge=lambda _app, _workspace: [],
)
"""The YAML text that says which team may use which language model, for what, with which data."""
