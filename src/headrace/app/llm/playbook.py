"""When the answers of an LLM drift: what could replace its live prompt, each tried on one evaluation set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace.app.composition import App
from headrace.app.llm.gateway import ask_models
from headrace.app.llm.prompting import Ask, requests_of
from headrace.checks.metrics import row_losses
from headrace.checks.playbook import Advice, Compared, Measured, compare, recommend
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, HeadraceError, InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import Ref
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.gateway.llm.chat import Answered, ChatRequest
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.prices import FILE as PRICES
from headrace.gateway.llm.prices import Prices, read_prices
from headrace.gateway.prompts import MEDIA_TYPE, Folder, Prompt
from headrace.projects.llm import MOVES, Alternative, Move, llm_of
from headrace.training.pipeline import recipe_of
from headrace.training.training_set import Rows, load_rows, load_training_set

_AT_ONCE = 20
LIVE = "live"
_NEXT: dict[Move, str] = {
    "model": "name a newer one under llm.playbook: {kind: model, model: PROVIDER/MODEL}",
    "fine_tune": "headrace feedback export {project} sft.jsonl --format sft, tune a model on it, name that: "
    "{kind: fine_tune, model: PROVIDER/MODEL, data: sft.jsonl}",
    "parameters": "{kind: parameters, parameters: {temperature: 0}}",
    "retrieval": "{kind: retrieval, context: {NAME: a file with what another index brings}}",
    "context": "{kind: context, context: {NAME: another file}}",
}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One alternative, or the live prompt itself.

    Attributes:
        changed: what it changes, in words; ``digest`` of the prompt that was asked.
        failures: why answers are missing; the first few.
        data: SHA-256 of the data that its model was tuned on, where that was named.
    """

    name: str
    kind: Move | None
    changed: str
    digest: str
    compared: Compared | None
    loss: float | None
    n_rows: int
    cost: float | None
    p50_ms: float | None
    p95_ms: float | None
    failures: tuple[str, ...] = ()
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """What was tried of a project, and what follows.

    Attributes:
        evaluation: SHA-256 of the evaluation set that all have answered.
        left: moves that nothing is declared of, each with what to do to try it.
        currency: of the costs.
    """

    project: str
    release_id: str
    version: str
    metric: str
    confidence: float
    evaluation: str
    n_rows: int
    currency: str
    live: Tried
    tried: tuple[Tried, ...]
    advice: Advice
    left: dict[str, str]


def run_playbook(
    app: App,
    me: Principal,
    project: Project,
    folder: Path,
    *,
    ask: Ask | None = None,
    told: Callable[[str, int, int], None] | None = None,
) -> Playbook:
    """Try each alternative of ``llm.playbook`` beside the live prompt; all answer the same questions now.

    Args:
        project: as ``headrace.yaml`` in ``folder`` declares it.
        ask: puts questions to models; by the rules that hold for callers unless given.
        told: which one is being asked, and how many of how many questions it has answered.

    Raises:
        Denied: ``me`` may not build the project.
        Conflict: no prompt of it is live.
        InvalidInput: nothing is declared, or a file that it names cannot be read.
    """
    app.gatekeeper.require(me, "project.run", f"project:{project.name}")
    alternatives = llm_of(project).playbook
    if not alternatives:
        raise InvalidInput(
            "Nothing is declared to be tried. Add alternatives to headrace.yaml, such as llm: {playbook: "
            "[{name: cooler, kind: parameters, parameters: {temperature: 0}}]}."
        )
    live = _live(app, project.name)
    prompt = Prompt.from_bytes(app.store.artifacts.get(live.manifest.subject.package.digest))
    built = [(one, alternative_of(prompt, one, folder)) for one in alternatives]
    rows, digest = _rows(app, live)
    trial = _Trial(app, project, rows, ask or ask_models(app), told)
    first = trial.measure(LIVE, prompt)
    measured = [trial.measure(one.name, other) for one, other in built]
    gate, groups = project.gates.model, rows.groups(project)
    beside = compare(
        first[0],
        [one for one, _ in measured],
        confidence=gate.confidence,
        margin=gate.margin,
        groups=None if groups is None else np.asarray(groups),
    )
    tried = tuple(
        _tried(one, other, found, failures, compared, folder)
        for (one, other), (found, failures), compared in zip(built, measured, beside, strict=True)
    )
    made = Playbook(
        project=project.name,
        release_id=live.id,
        version=Ref.parse(live.manifest.subject.ref).version,
        metric=gate.metric,
        confidence=gate.confidence,
        evaluation=digest,
        n_rows=len(first[0].losses),
        currency=trial.prices.currency,
        live=_tried(None, prompt, *first, None, folder),
        tried=tried,
        advice=recommend(first[0], [one for one, _ in measured], beside),
        left={
            kind: _NEXT[kind].replace("{project}", project.name)
            for kind in MOVES
            if all(one.kind != kind for one in alternatives)
        },
    )
    detail = {"release": live.id, "evaluation": digest, "tried": [one.name for one in tried]}
    app.store.audit.append(
        me.name, "llm.playbook", f"project:{project.name}", detail | {"advice": made.advice.name}
    )
    return made


def alternative_of(prompt: Prompt, one: Alternative, folder: Path) -> Prompt:
    """The live prompt with what an alternative changes.

    Raises:
        InvalidInput: it names background that the prompt does not have, or a file that cannot be read.
    """
    unknown = sorted(one.context.keys() - prompt.context.keys())
    if unknown:
        known = ", ".join(sorted(prompt.context)) or "none"
        raise InvalidInput(
            f"llm.playbook {one.name!r} changes the background {unknown[0]!r}, and the live prompt has: "
            f"{known}. Name one of these."
        )
    files = Folder(folder)
    return replace(
        prompt,
        # Alone: where it fails, a later model of the prompt would answer for it.
        models=(one.model,) if one.model else prompt.models,
        parameters=prompt.parameters | one.parameters,
        context=prompt.context | {name: files.text(path).strip() for name, path in one.context.items()},
    )


class _Trial:
    """Asks one prompt after the other what is in the evaluation set."""

    def __init__(
        self, app: App, project: Project, rows: Rows, ask: Ask, told: Callable[[str, int, int], None] | None
    ) -> None:
        self._project = project
        self._truth = rows.truth()
        self._requests = requests_of(project, rows.test_columns())
        self._ask = ask
        self._told = told
        self._at = app.clock.now()
        self.prices: Prices = read_prices(app.settings.home / PRICES)

    def measure(self, name: str, prompt: Prompt) -> tuple[Measured, tuple[str, ...]]:
        """What it reached, and why answers are missing. A prompt that may not be asked has none."""
        answered: list[Answered | HeadraceError] = []
        for start in range(0, len(self._requests), _AT_ONCE):
            some = self._requests[start : start + _AT_ONCE]
            answered += self._some(prompt, some)
            if self._told is not None:
                self._told(name, len(answered), len(self._requests))
        texts = [None if isinstance(one, HeadraceError) else one.text for one in answered]
        losses = row_losses(self._project.gates.model.metric, self._truth, {"predict": texts})
        missing = np.array([text is None for text in texts])
        given = [one for one in answered if isinstance(one, Answered)]
        took = [one.took_ms for one in given]
        measured = Measured(
            name=name,
            losses=np.where(missing, np.nan, losses),
            cost=self._cost(prompt, given),
            p50_ms=float(np.quantile(took, 0.5)) if took else None,
            p95_ms=float(np.quantile(took, 0.95)) if took else None,
        )
        failures = dict.fromkeys(str(one) for one in answered if isinstance(one, HeadraceError))
        return measured, tuple(failures)[:3]

    def _some(self, prompt: Prompt, some: Sequence[ChatRequest]) -> list[Answered | HeadraceError]:
        try:
            return self._ask(self._project, prompt, some)
        except HeadraceError as error:  # such as a model that nobody has allowed
            return [error] * len(some)

    def _cost(self, prompt: Prompt, given: Sequence[Answered]) -> float | None:
        """Of an answer, were all of its first model; None where one was not counted or has no price."""
        target = Target.parse(prompt.models[0])
        costs = [self.prices.cost(target, one.usage, self._at) if one.is_counted else None for one in given]
        known = [cost.micro for cost in costs if cost is not None]
        return sum(known) / len(known) / 1_000_000 if known and len(known) == len(costs) else None


def _tried(
    one: Alternative | None,
    prompt: Prompt,
    found: Measured,
    failures: tuple[str, ...],
    compared: Compared | None,
    folder: Path,
) -> Tried:
    kept = np.isfinite(found.losses)
    data = "" if one is None or not one.data else digest_bytes(Folder(folder).data(one.data))
    return Tried(
        name=found.name,
        kind=None if one is None else one.kind,
        changed="" if one is None else changes_of(one),
        digest=digest_bytes(prompt.to_bytes()),
        compared=compared,
        loss=float(found.losses[kept].mean()) if kept.any() else None,
        n_rows=int(kept.sum()),
        cost=found.cost,
        p50_ms=found.p50_ms,
        p95_ms=found.p95_ms,
        failures=failures,
        data=data,
    )


def changes_of(one: Alternative) -> str:
    """What an alternative changes, in words."""
    said: list[str] = [f"model {one.model}"] if one.model else []
    said += [f"{name} {value}" for name, value in one.parameters.items()]
    said += [f"{name} from {path}" for name, path in one.context.items()]
    return ", ".join(said)


def report_of(found: Playbook) -> str:
    """The playbook as Markdown, for people who decide and for a folder of the project."""
    about = (
        f"All answered the same {found.n_rows} questions (evaluation set {found.evaluation[:12]}). Loss: "
        f"{found.metric}; intervals hold together at {found.confidence:.0%}; cost of an answer in "
        f"{found.currency}."
    )
    lines = [
        f"# What could replace version {found.version} of {found.project}",
        "",
        about,
        "",
        "| | what changes | standing | loss | difference | cost | p50 ms | p95 ms |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(cells)} |" for cells in table_of(found)),
        "",
        f"**{headline(found)}**: {found.advice.why}.",
    ]
    if found.left:
        lines += ["", "Not tried:", ""]
        lines += [f"- {kind.replace('_', '-')}: `{how}`" for kind, how in found.left.items()]
    return "\n".join(lines) + "\n"


def headline(found: Playbook) -> str:
    """What to do, in a few words."""
    return "Keep what is live" if found.advice.name is None else f"Release {found.advice.name}"


def table_of(found: Playbook) -> list[tuple[str, ...]]:
    """A line of cells for the live prompt and for each alternative."""
    return [_cells(one) for one in (found.live, *found.tried)]


def _cells(one: Tried) -> tuple[str, ...]:
    beside = one.compared
    apart = beside.difference if beside is not None else None
    return (
        one.name,
        one.changed or "\u2013",
        "live" if beside is None else beside.standing,
        _number(one.loss),
        "\u2013" if apart is None else f"{apart.estimate:+.3g} ({apart.low:+.3g} to {apart.high:+.3g})",
        _number(one.cost),
        _number(one.p50_ms),
        _number(one.p95_ms),
    )


def _number(value: Any) -> str:
    return "\u2013" if value is None else f"{value:.3g}"


def _live(app: App, project: str) -> Release:
    route = app.store.rollouts.route(project)
    live = None if route is None else app.store.releases.get(route.live)
    if live is None or live.manifest.subject.package.media_type != MEDIA_TYPE:
        raise Conflict(f"No prompt of {project!r} is live that could be replaced. Run 'headrace run' first.")
    return live


def _rows(app: App, live: Release) -> tuple[Rows, str]:
    """The evaluation set of the live release, and its digest."""
    recipe = recipe_of(app.store, app.store.runs.get(live.manifest.run_id))
    digest = recipe.training_set.digest
    return load_rows(app.store, recipe.project, load_training_set(app.store.artifacts, digest)), digest
