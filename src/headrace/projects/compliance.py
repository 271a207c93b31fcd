"""Whether a project keeps the rules of its workspace, which is another question than whether it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from headrace.core.project import Project, Risk
from headrace.projects.controls import InForce
from headrace.projects.risk import assess, covers
from headrace.projects.rules import STATEMENTS, is_answered, is_reachable

Status = Literal["met", "assumed", "not met", "waived", "at release"]
_DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the controls look at.

    Attributes:
        released: whether a release is judged; the facts below are known only then.
        commit: the git commit of its code, if any.
        way_back: whether the release before it is still kept; None when there is none.
    """

    project: Project
    in_force: InForce
    released: bool = False
    commit: str | None = None
    way_back: bool | None = None


class Result(NamedTuple):
    """What a look at one control found; ``next_step`` says how to meet it."""

    status: Status
    detail: str
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One control: whether it is met, by what evidence, or by leave of which waiver."""

    control: str
    status: Status
    detail: str
    next_step: str = ""
    waiver: str | None = None


@dataclass(frozen=True, kw_only=True)
class Compliance:
    """Everything that a tier asks for, and whether it is there.

    Attributes:
        tier: the declared one; its controls hold.
        least: the least one that fits the answers, with ``points``.
        approvals: how many people have to approve.
        rules_version, rules_digest: which rules it was held against.
    """

    tier: Risk
    least: Risk
    points: dict[str, int]
    approvals: int
    rules_version: int
    rules_digest: str
    findings: tuple[Finding, ...]

    @property
    def violations(self) -> list[Finding]:
        """Controls that are neither met nor waived."""
        return [finding for finding in self.findings if finding.status == "not met"]


def examine(facts: Facts, waived: Mapping[str, str]) -> Compliance:
    """Hold a project against the rules in force.

    Args:
        waived: name of a control to the id of the waiver that gives leave.
    """
    project, in_force = facts.project, facts.in_force
    assessment, tier = assess(project.governance), in_force.rules.tier(project.risk)
    return Compliance(
        tier=project.risk,
        least=assessment.tier,
        points=assessment.points,
        approvals=tier.approvals,
        rules_version=in_force.version,
        rules_digest=in_force.digest,
        findings=tuple(_finding(name, facts, waived.get(name)) for name in tier.controls),
    )


def _finding(name: str, facts: Facts, waiver: str | None) -> Finding:
    status, detail, next_step = _LOOKS[name](facts)
    if status == "not met" and waiver is not None:
        return Finding(control=name, status="waived", detail=f"waived: {detail}", waiver=waiver)
    return Finding(control=name, status=status, detail=detail, next_step=next_step)


def _accountable(facts: Facts) -> Result:
    owner = facts.project.owner
    if not (is_answered(owner.name) and is_reachable(owner.contact)):
        return Result("not met", f"{owner.name!r} at {owner.contact!r}", "name owner.name and owner.contact")
    assumed = "contact" in facts.project.governance.assumed
    return Result("assumed" if assumed else "met", f"call {owner.name} at {owner.contact}")


def _answers(facts: Facts) -> Result:
    governance = facts.project.governance
    missing = [name for name in STATEMENTS if not is_answered(getattr(governance, name))]
    if missing:
        return Result("not met", f"no answer: {', '.join(missing)}", f"answer governance.{missing[0]}")
    assumed = [name for name in STATEMENTS if name in governance.assumed]
    if assumed:
        return Result("assumed", f"assumed by headrace init, confirmed by nobody: {', '.join(assumed)}")
    return Result("met", f"{', '.join(STATEMENTS)} are answered")


def _tier(facts: Facts) -> Result:
    declared, found = facts.project.risk, assess(facts.project.governance)
    said = f"declared {declared}; the answers give {found.tier} ({found.total} points)"
    if not covers(declared, found.tier):
        return Result("not met", said, f"set risk: {found.tier}")
    assumed = [name for name in found.points if name in facts.project.governance.assumed]
    return Result("assumed" if assumed else "met", said)


def _inputs(facts: Facts) -> Result:
    forbidden = {name.casefold() for name in facts.in_force.rules.forbidden_inputs or ()}
    inputs = [column.name for column in facts.project.data.columns if column.role != "ignored"]
    found = [name for name in inputs if name.casefold() in forbidden]
    if found:
        return Result("not met", f"inputs: {', '.join(found)}", f"give {found[0]} the role ignored")
    return Result("met", f"none of {len(forbidden)} forbidden columns among {len(inputs)} inputs")


def _limits(facts: Facts) -> Result:
    limits, project = facts.in_force.rules.limits, facts.project
    if limits is None:
        return Result("met", "no limits are set")
    gates, days = project.gates, project.monitors.window_s / _DAY_S
    loose = [
        text
        for text, is_loose in (
            (f"gates.data.min_rows below {limits.min_rows}", gates.data.min_rows < limits.min_rows),
            (
                f"gates.model.confidence below {limits.min_confidence:g}",
                gates.model.confidence < limits.min_confidence,
            ),
            (f"gates.model.margin above {limits.max_margin:g}", gates.model.margin > limits.max_margin),
            (
                f"privacy.retention_days above {limits.max_retention_days}",
                project.privacy.retention_days > limits.max_retention_days,
            ),
            (f"monitors.window_s above {limits.max_window_days:g} days", days > limits.max_window_days),
        )
        if is_loose
    ]
    if loose:
        return Result("not met", "; ".join(loose), "bring the charter within the limits")
    return Result("met", "gates, monitors and retention are within the limits")


def _documentation(facts: Facts) -> Result:
    if is_answered(facts.project.data.documentation):
        return Result("met", "data.documentation says what the data is")
    return Result("not met", "data.documentation is empty", "say what the data is and where it comes from")


def _canary(facts: Facts) -> Result:
    steps = facts.project.rollout.steps
    if steps and steps[0] < 100:
        first = f"{steps[0]} % of the traffic" if steps[0] else "a shadow, without traffic"
        return Result("met", f"the first step is {first}")
    return Result("not met", "all traffic at once", "set rollout.steps, such as [10, 50]")


def _way_back(facts: Facts) -> Result:
    if not facts.released:
        return Result("at release", "looked at when there is a release")
    if facts.way_back is None:
        return Result("met", "the first release: there is nothing before it")
    if facts.way_back:
        return Result("met", "the package of the release before is kept")
    return Result("not met", "the package of the release before is gone", "restore it from a backup")


def _confirmed(facts: Facts) -> Result:
    assumed = facts.project.governance.assumed
    if assumed:
        return Result(
            "not met", f"only assumed: {', '.join(assumed)}", "read them and empty governance.assumed"
        )
    return Result("met", "somebody stands for every answer")


def _people_approve(facts: Facts) -> Result:
    if facts.project.approval == "manual":
        return Result("met", "approval: manual")
    return Result("not met", "approval: automatic", "set approval: manual")


def _watched(facts: Facts) -> Result:
    wanted = facts.in_force.rules.watched or ()
    missing = sorted(set(wanted) - {trigger.when for trigger in facts.project.triggers})
    if missing:
        return Result(
            "not met", f"no trigger for {', '.join(missing)}", f"declare one: {{when: {missing[0]}}}"
        )
    return Result("met", f"triggers for {', '.join(wanted) or 'nothing in particular'}")


def _commit(facts: Facts) -> Result:
    if not facts.released:
        return Result("at release", "looked at when there is a release")
    if facts.commit is None:
        return Result("not met", "the code is in no git commit", "commit the project, then run it")
    return Result("met", f"commit {facts.commit[:12]}")


def _lawful_basis(facts: Facts) -> Result:
    privacy, about = facts.project.privacy, facts.project.governance.personal_data
    if privacy.basis is None:
        return Result("not met", "nobody says why the data may be used", "state privacy.basis")
    if about not in (None, "none") and not privacy.personal:
        said = f"privacy.basis says not_personal, governance.personal_data says {about}"
        return Result("not met", said, "correct the one that is wrong")
    return Result("met", f"privacy.basis: {privacy.basis}")


_LOOKS: dict[str, Callable[[Facts], Result]] = {
    "accountable-person": _accountable,
    "answers": _answers,
    "tier": _tier,
    "inputs": _inputs,
    "limits": _limits,
    "documentation": _documentation,
    "canary": _canary,
    "way-back": _way_back,
    "confirmed": _confirmed,
    "people-approve": _people_approve,
    "watched": _watched,
    "commit": _commit,
    "lawful-basis": _lawful_basis,
}
"""How each control of ``CONTROLS`` is looked at."""
