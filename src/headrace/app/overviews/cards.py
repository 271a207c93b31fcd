"""A release's model card, written from evidence: in the format of Hugging Face, metadata before Markdown."""

from __future__ import annotations

from typing import Any

import yaml

from headrace.app.answers.explanations import Explainers
from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.project import Project, Task
from headrace.core.record import Method
from headrace.core.release import Release, Verdict

PIPELINES: dict[Task, str] = {
    "classification": "tabular-classification",
    "regression": "tabular-regression",
    "forecasting": "time-series-forecasting",
    "anomaly_detection": "tabular-classification",
    "clustering": "tabular-classification",
    "text_generation": "text-generation",
}
"""By task, the name that Hugging Face has for it, or the nearest."""
HOW: dict[Method, str] = {
    "linear": "fully: it is a weighted sum, and each input's share of an answer is exact",
    "trees": "per answer: each input's share is exact, and the conditions on the way through the trees are "
    "shown; the trees together are too many to be read",
    "all_subsets": "as a black box: what it computes is not read; each input's share of an answer follows "
    "from asking it with every subset of the inputs",
    "sampled": "as a black box: what it computes is not read; each input's share of an answer is estimated "
    "by asking it with samples, and has a standard error",
    "lime": "as a black box: a weighted sum is fitted to its answers around a row, and may miss what it does",
    "own": "by the project's own explainer; Headrace only checks that its shares add up",
}


def card(app: App, me: Principal, release_id: str) -> str:
    """The card of a release as a text. Raises NotFound, Denied."""
    report = reading.release_report(app, me, release_id)
    project = app.store.projects.get(report.release.project)
    parts = [
        "---\n"
        + yaml.safe_dump(metadata(report.release, project), sort_keys=False, allow_unicode=True)
        + "---",
        f"# {report.release.manifest.subject.ref.removeprefix('model:')}",
        *_sections(app, report.release, project, report.verdicts),
    ]
    return "\n\n".join(parts) + "\n"


def metadata(release: Release, project: Project) -> dict[str, Any]:
    """What stands before the text: task, tags, and each metric on the test rows as a result."""
    manifest = release.manifest
    task = PIPELINES[project.task]
    results = {
        "task": {"type": task, "name": project.task.replace("_", " ")},
        "dataset": {
            "type": project.name,
            "name": f"{project.name}: test rows",
            "revision": ", ".join(str(one["digest"]) for one in manifest.snapshots),
        },
        "metrics": [
            {"type": name, "name": name, "value": value} for name, value in manifest.evaluation.items()
        ],
    }
    name = manifest.subject.ref.removeprefix("model:")
    return {
        "library_name": "headrace",
        "pipeline_tag": task,
        "tags": ["headrace", project.task.replace("_", "-"), f"risk-{manifest.risk}"],
        "model-index": [{"name": name, "results": [results]}],
    }


def _sections(app: App, release: Release, project: Project, verdicts: list[Verdict]) -> list[str]:
    manifest, governance = release.manifest, project.governance
    kept = [one for one in verdicts if not one.gate.startswith("canary look")]
    return [
        "## What it is",
        _facts(
            {
                "release": f"`{release.id}`, {release.state.replace('_', ' ')}",
                "digest": f"`{release.digest}`",
                "made by": f"{release.author}, because: {manifest.cause}",
                "owner": f"{manifest.owner}, {manifest.contact}",
                "descends from": f"`{manifest.parent}`" if manifest.parent else "nothing: the first release",
                "variant": f"{manifest.params.get('variant', '')}",
            }
        ),
        "## What it is for",
        _facts(
            {
                "value": project.value.hypothesis,
                "KPI": manifest.kpi,
                "affects": governance.affected,
                "could do harm": governance.harms,
                "fairness": governance.fairness,
                "risk tier": manifest.risk,
            }
        ),
        "## What it has learnt from",
        _facts(
            {
                "source": project.data.source,
                "documentation": project.data.documentation,
                **{f"data {i + 1}": f"`{one['digest']}`" for i, one in enumerate(manifest.snapshots)},
                "features": ", ".join(f"`{name}`" for name in manifest.features),
                "predicts": f"`{project.data.target}`"
                if project.data.target
                else "no column: it has no target",
            }
        ),
        "## How good it is",
        _table(
            ("metric on the test rows", "value"), [(k, f"{v:.4g}") for k, v in manifest.evaluation.items()]
        ),
        _table(("gate", "verdict", "why"), [(one.gate, one.outcome, one.reason) for one in kept]),
        "## How far its answers can be explained",
        _explained(app, release),
        "## What limits it",
        _limits(kept, project),
    ]


def _explained(app: App, release: Release) -> str:
    try:
        explainers = Explainers(app)
        try:
            method = explainers.method(release.id)
        finally:
            explainers.close()
    except InvalidInput as error:
        return f"Not at all here: {error}"
    return f"{HOW[method][0].upper()}{HOW[method][1:]} (method `{method}`)."


def _limits(verdicts: list[Verdict], project: Project) -> str:
    """What was not proved, and what nobody has confirmed."""
    lines = [f"- {one.gate}: {one.outcome}: {one.reason}" for one in verdicts if one.outcome != "passed"]
    lines += [f"- passed by a waiver only: {one.gate}" for one in verdicts if "waiver" in one.evidence]
    if project.governance.assumed:
        lines.append(f"- assumed and confirmed by nobody: {', '.join(project.governance.assumed)}")
    return "\n".join(lines) or "No gate has found any."


def _facts(named: dict[str, str]) -> str:
    return "\n".join(f"- **{name}**: {_line(value) or 'not said'}" for name, value in named.items())


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _line(text: str) -> str:
    return " ".join(str(text).split())
