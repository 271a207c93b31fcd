"""What a build does where a project's answers are texts: a variant is a prompt, and nothing is trained.

Every variant answers the questions of the evaluation set; people have said what a good answer is. The rest of
the build, the release and its rollout are those of every model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.app.composition import App
from headrace.app.gates.gating import Gate, Gating
from headrace.app.llm.evaluation_sets import evaluation_sets, signed_rows
from headrace.app.llm.prompt_checks import (
    AGENT_FILES,
    PERSONA,
    SCRIPTED,
    STEADY,
    judge_agent_files,
    judge_conversations,
    judge_persona,
    judge_steadiness,
)
from headrace.checks.comparison import paired_interval
from headrace.checks.metrics import report, row_losses
from headrace.checks.profiles import Profile
from headrace.core.canonical import canonical_json
from headrace.core.data import Run
from headrace.core.errors import HeadraceError, InvalidInput, UserCodeError
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.core.release import Outcome4, Release, Verdict
from headrace.data.frames import is_null, n_rows
from headrace.gateway.conversations import read_script
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.schemas import Schema
from headrace.gateway.llm.chat import Answered, ChatRequest
from headrace.gateway.llm.endpoints import FILE as PROVIDERS
from headrace.gateway.llm.endpoints import read_providers
from headrace.gateway.llm.pins import EVALUATION, answered_pins, pins_of
from headrace.gateway.prompts import MEDIA_TYPE, Prompt, read_prompt
from headrace.monitoring.baseline import Baseline, make_baseline, text_profiles
from headrace.projects.llm import Conversations, Persona, Repeats, guards_personal, labelled_rows, llm_of
from headrace.releases.gates import comparison_gate, verdict
from headrace.store import Store
from headrace.store.documents import from_plain
from headrace.training.evaluation import losses_of
from headrace.training.lock import unpack_code
from headrace.training.pipeline import ANSWERS, Recipe, choose_best, recipe_of
from headrace.training.training_set import Rows, input_columns, load_rows, load_training_set

OUTPUT, LABELS = "output_contract", "human_labels"
"""The gates that ask whether every answer is what consumers rely on, and whether people have given labels."""
_MOST_FAILED = 0.02
"""Share of the questions that a provider may fail to answer before nothing can be said."""
_SHOWN = 5
Ask = Callable[[Project, Prompt, Sequence[ChatRequest]], "list[Answered | HeadraceError]"]


class _Asked(NamedTuple):
    """What a prompt answered to test rows: None where the provider failed. ``by``: model and fingerprint."""

    texts: list[str | None]
    tokens: int
    failures: list[str]
    by: list[tuple[str, str]]


class Prompting:
    """Makes and judges the prompts of a build; ``ask`` puts questions to their models."""

    def __init__(self, app: App, gating: Gating, ask: Ask) -> None:
        self._app = app
        self._store = app.store
        self._gating = gating
        self._ask = ask

    def gates(self, state: dict[str, Any]) -> tuple[Gate, ...]:
        """What a prompt is held to beside the gates of every release, as far as its project declares it."""
        spec = llm_of(from_plain(Project, state["declared"]))
        declared: tuple[tuple[bool, Gate], ...] = (
            (spec.persona is not None, (PERSONA, self._persona_gate)),
            (spec.repeats is not None, (STEADY, self._steadiness_gate)),
            (spec.conversations is not None, (SCRIPTED, self._conversations_gate)),
        )
        return (
            ("champion_gate", self._champion_gate),
            ("output_contract", self._output_gate),
            ("human_labels", self._labels_gate),
            *(gate for is_declared, gate in declared if is_declared),
            (AGENT_FILES, self._agent_files_gate),
        )

    def _persona_gate(self, state: dict[str, Any]) -> str:
        project, run = from_plain(Project, state["declared"]), self._store.runs.get(state["run_id"])
        live = self._live(project.name)
        judged = judge_persona(
            self._ask,
            project,
            llm_of(project).persona or Persona(),
            self._prompt(_package(run)),
            None if live is None else self._prompt(live.manifest.subject.package.digest),
            requests_of(project, self._rows(run).test_columns())[0],
        )
        return self._gating.keep(state, self._verdict(state["judged_id"], PERSONA, *judged)).outcome

    def _steadiness_gate(self, state: dict[str, Any]) -> str:
        project, run = from_plain(Project, state["declared"]), self._store.runs.get(state["run_id"])
        requests = requests_of(project, self._rows(run).test_columns())
        ours = self._prompt(_package(run))
        judged = judge_steadiness(self._ask, project, llm_of(project).repeats or Repeats(), ours, requests)
        return self._gating.keep(state, self._verdict(state["judged_id"], STEADY, *judged)).outcome

    def _conversations_gate(self, state: dict[str, Any]) -> str:
        project, run = from_plain(Project, state["declared"]), self._store.runs.get(state["run_id"])
        spec, live = llm_of(project).conversations or Conversations(), self._live(project.name)
        with TemporaryDirectory() as folder:
            unpack_code(self._store.artifacts.get(run.code.digest), Path(folder))
            script = read_script(Path(folder), spec.file)
        judged = judge_conversations(
            self._ask,
            project,
            spec,
            script,
            self._prompt(_package(run)),
            None if live is None else self._prompt(live.manifest.subject.package.digest),
        )
        return self._gating.keep(state, self._verdict(state["judged_id"], SCRIPTED, *judged)).outcome

    def _agent_files_gate(self, state: dict[str, Any]) -> str:
        project, run = from_plain(Project, state["declared"]), self._store.runs.get(state["run_id"])
        ours = self._prompt(_package(run))
        if not ours.agent_files:
            return "no file instructs an agent"
        judged = judge_agent_files(llm_of(project).agent_files, ours)
        return self._gating.keep(state, self._verdict(state["judged_id"], AGENT_FILES, *judged)).outcome

    def _champion_gate(self, state: dict[str, Any]) -> str:
        project, run = from_plain(Project, state["declared"]), self._store.runs.get(state["run_id"])
        judged = self.champion(project, run, state["judged_id"], self._live(project.name))
        return self._gating.keep(state, judged).outcome

    def _output_gate(self, state: dict[str, Any]) -> str:
        run = self._store.runs.get(state["run_id"])
        judged = self.output(run, state["judged_id"], self._live(state["project"]))
        return self._gating.keep(state, judged).outcome

    def _labels_gate(self, state: dict[str, Any]) -> str:
        project, run = from_plain(Project, state["declared"]), self._store.runs.get(state["run_id"])
        return self._gating.keep(state, self.labels(project, run, state["judged_id"])).outcome

    def best(self, runs: Sequence[Run], metric: str) -> Run:
        """The prompt with the smallest ``metric``. Of equal ones that which was edited since the live release
        was built, or else the first.

        What is judged is what people work on: the baseline only where nothing but it was edited, or finished.

        Raises:
            UserCodeError: none finished.
        """
        live = self._live(runs[0].project)
        built = [] if live is None else self._built_with(live)
        known = {run.package.digest for run in built if run.package is not None}
        edited = [run for run in runs if run.state == "finished" and _package(run) not in known]
        others = [run for run in runs[1:] if run.state == "finished"]
        among = runs if not others or (known and edited == [runs[0]]) else others
        best = choose_best(among, metric)
        alike = [run for run in among if run.state == "finished" and _alike(run, best, metric)]
        return max(alike, key=lambda run: _package(run) not in known)

    def _built_with(self, live: Release) -> list[Run]:
        return self._store.runs.list(
            live.manifest.project, build_id=self._store.runs.get(live.manifest.run_id).build_id
        )

    def _live(self, project: str) -> Release | None:
        route = self._store.rollouts.route(project)
        return None if route is None else self._store.releases.get(route.live)

    def make(self, store: Store, run: Run, folder: Path, _timeout_s: float) -> Run:
        """Let a variant's prompt answer the evaluation set; fills :class:`headrace.training.pipeline.Making`.

        Raises:
            InvalidInput: the prompt cannot be read.
            UserCodeError: its models fail on more than a few questions.
        """
        recipe = recipe_of(store, run)
        code = folder / "code"
        unpack_code(store.artifacts.get(run.code.digest), code)
        prompt = read_prompt(code, recipe.variant.trainer)
        rows = self._rows(run)
        asked = self._answers(recipe.project, prompt, rows.test_columns())
        n_failed = sum(text is None for text in asked.texts)
        if n_failed > _MOST_FAILED * len(asked.texts):
            raise UserCodeError(
                f"{n_failed} of {len(asked.texts)} questions had no answer: {asked.failures[0]}"
            )
        metrics = report(recipe.project.task, rows.truth(), {"predict": asked.texts})
        return replace(
            run,
            package=store.artifacts.put(prompt.to_bytes(), MEDIA_TYPE),
            metrics=metrics | {"tokens_per_answer": asked.tokens / max(len(asked.texts), 1)},
            params=run.params | self._pins(recipe, prompt, asked),
            outputs=run.outputs
            | {ANSWERS: store.artifacts.put(canonical_json(asked.texts), "application/json")},
        )

    def _pins(self, recipe: Recipe, prompt: Prompt, asked: _Asked) -> dict[str, str]:
        providers = read_providers(self._app.settings.home / PROVIDERS)
        return {
            "models": ", ".join(prompt.models),
            **pins_of(prompt, providers, personal=guards_personal(recipe.project)),
            **answered_pins(asked.by),
            EVALUATION: recipe.training_set.digest[:32],
        }

    def champion(self, project: Project, run: Run, subject: str, live: Release | None) -> Verdict:
        """Not worse than the live prompt, which answers the same questions now."""
        if live is None:
            reason = "nothing is live yet: there is no champion to compare with"
            return self._verdict(subject, "champion", "passed", reason, {})
        rows = self._rows(run)
        other = self._prompt(live.manifest.subject.package.digest)
        asked = self._answers(project, other, rows.test_columns())
        gate = project.gates.model
        ours = losses_of(self._store, run, rows)
        theirs = row_losses(gate.metric, rows.truth(), {"predict": asked.texts})
        kept = np.isfinite(ours) & np.isfinite(theirs) & np.array([text is not None for text in asked.texts])
        if kept.sum() < 2:
            reason = f"the live prompt could not be asked: {(asked.failures or ['no row has a label'])[0]}"
            return self._verdict(subject, "champion", "inconclusive", reason, {})
        groups = rows.groups(project)
        groups = None if groups is None else groups[kept]
        judged = comparison_gate(
            subject, "champion", gate,
            paired_interval(ours[kept], theirs[kept], gate.confidence, groups),
            other=live.manifest.subject.ref, other_loss=float(theirs[kept].mean()), margin=gate.margin,
            at=self._app.clock.now(),
        )  # fmt: skip
        judged.evidence.update(loss=float(ours[kept].mean()), live_release=live.id)
        return judged

    def output(self, run: Run, subject: str, live: Release | None) -> Verdict:
        """Every answer keeps the contract of the prompt, and that of the live one, which consumers know."""
        contracts = {"its own": self._prompt(_package(run)).contract}
        if live is not None:
            contracts[live.manifest.subject.ref] = self._prompt(live.manifest.subject.package.digest).contract
        answers: list[str | None] = json.loads(self._store.artifacts.get(run.outputs[ANSWERS].digest))
        asked = {whose: schema for whose, schema in contracts.items() if schema is not None}
        broken = {whose: _breaches(schema, answers) for whose, schema in asked.items()}
        evidence = {
            "answers": len(answers),
            "not answered": answers.count(None),
            "contracts": {
                whose: {"schema": asked[whose], "broken by": len(found), "first": found[:_SHOWN]}
                for whose, found in broken.items()
            },
        }
        said = [
            f"{len(found)} of {len(answers)} answers break the contract of {whose}: {found[0]['why']}"
            for whose, found in broken.items()
            if found
        ]
        reason = "; ".join(said) or (
            f"all answers keep the contract of {' and of '.join(asked)}"
            if asked
            else "no contract is declared"
        )
        return self._verdict(subject, OUTPUT, "failed" if said else "passed", reason, evidence)

    def labels(self, project: Project, run: Run, subject: str) -> Verdict:
        """Of enough of the questions that it was tested on people have signed what a good answer is."""
        rows, needed = self._rows(run), labelled_rows(project)
        asked = rows.test_columns()[question_of(project)]
        signed = signed_rows(self._app, project.name, asked, rows.truth())
        evidence: dict[str, Any] = {
            "test rows": len(asked),
            "labelled by people": signed.n,
            "needed": needed,
        }
        sets = [one for one in evaluation_sets(self._app, project.name) if one.version in signed.versions]
        evidence["versions"] = [
            {"version": one.version, "digest": one.digest, "signed by": one.by} for one in sets
        ]
        reason = (
            f"{signed.n} of {len(asked)} test rows have a label that people have signed; {needed} are needed"
        )
        if signed.n < needed:
            reason += f". Sign the set: headrace feedback sign {project.name} FILE"
        return self._verdict(subject, LABELS, "passed" if signed.n >= needed else "failed", reason, evidence)

    def baseline(self, project: Project, run: Run) -> Baseline:
        """What the questions and the answers were like: how long the answers are, never what they say."""
        rows = self._rows(run)
        texts: list[str | None] = json.loads(self._store.artifacts.get(run.outputs[ANSWERS].digest))
        made = load_training_set(self._store.artifacts, recipe_of(self._store, run).training_set.digest)
        losses, columns = losses_of(self._store, run, rows), rows.test_columns()
        return make_baseline(
            Profile.fit(columns, input_columns(project)),
            np.array([float(len(text or "")) for text in texts]),
            losses[np.isfinite(losses)],
            project.gates.model.metric,
            trained_until=made.trained_until,
            texts=text_profiles(
                columns, input_columns(project), self._app.access.privacy.rules(project.name).column
            ),
        )

    def _answers(self, project: Project, prompt: Prompt, columns: Columns) -> _Asked:
        answered = self._ask(project, prompt, requests_of(project, columns))
        texts = [None if isinstance(one, HeadraceError) else one.text for one in answered]
        given = [one for one in answered if isinstance(one, Answered)]
        tokens = sum(one.usage.input + one.usage.output for one in given)
        failures = [str(one) for one in answered if isinstance(one, HeadraceError)]
        return _Asked(texts, tokens, failures, [(one.model, one.fingerprint) for one in given])

    def _rows(self, run: Run) -> Rows:
        recipe = recipe_of(self._store, run)
        made = load_training_set(self._store.artifacts, recipe.training_set.digest)
        return load_rows(self._store, recipe.project, made)

    def _prompt(self, digest: str) -> Prompt:
        return Prompt.from_bytes(self._store.artifacts.get(digest))

    def _verdict(
        self, subject: str, gate: str, outcome: Outcome4, reason: str, evidence: dict[str, Any]
    ) -> Verdict:
        return verdict(subject, gate, outcome, reason, evidence=evidence, at=self._app.clock.now())


def requests_of(project: Project, columns: Columns) -> list[ChatRequest]:
    """One request for each row: the first input of free text is the message, the others fill the prompt in.

    Raises:
        InvalidInput: no input is free text.
    """
    question = question_of(project)
    others = [column.name for column in input_columns(project) if column.name != question]
    asked = []
    for index in range(n_rows(columns)):
        values = {name: _plain(columns[name], index) for name in others}
        message = {"role": "user", "content": str(columns[question][index])}
        asked.append(
            ChatRequest(
                model=project.name,
                messages=[message],
                body={"model": project.name, "messages": [message]},
                variables={name: value for name, value in values.items() if value is not None},
            )
        )
    return asked


def question_of(project: Project) -> str:
    """The input that callers send as their message.

    Raises:
        InvalidInput: no input is free text.
    """
    texts = [column.name for column in input_columns(project) if column.role == "text"]
    if not texts:
        raise InvalidInput(
            "No input is free text, so nothing is asked. Give one of data.columns in headrace.yaml the role "
            "text."
        )
    return texts[0]


def check_prompts(project: Project, folder: Path) -> None:
    """Whether each variant's prompt and the scripted conversations can be read; no model is asked.

    Raises:
        InvalidInput: one cannot, or the project asks nothing.
    """
    question_of(project)
    for variant in project.variants:
        read_prompt(folder, variant.trainer)
    scripted = llm_of(project).conversations
    if scripted is not None:
        read_script(folder, scripted.file)


def _plain(values: NDArray[Any], index: int) -> Any:
    value = values[index]
    if is_null(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _breaches(schema: dict[str, Any], answers: Sequence[str | None]) -> list[dict[str, Any]]:
    """Answers that a schema does not allow: which row, and why. Nothing of what they say."""
    guard, where = Schema(schema), Context(layer="output")
    said = ((row, answer) for row, answer in enumerate(answers) if answer is not None)
    hits = ((row, hit) for row, answer in said for hit in guard.check(answer, where))
    return [{"row": row, "why": hit.detail} for row, hit in hits]


def _alike(run: Run, best: Run, metric: str) -> bool:
    return run.id == best.id or run.metrics.get(metric) == best.metrics[metric]


def _package(run: Run) -> str:
    if run.package is None:
        raise InvalidInput(f"Run {run.id} has no prompt. Its error: {run.error}")
    return run.package.digest
