"""What a run would stumble over in a project's prompts: models nobody declared, background nobody wrote,
files for agents that are too long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.app.llm.prompt_checks import judge_agent_files
from headrace.checks.tasks import GENERATIVE
from headrace.core.errors import NotFound
from headrace.core.project import Project
from headrace.gateway.llm.endpoints import FILE, Target, read_providers
from headrace.gateway.prompts import read_prompt
from headrace.projects.llm import llm_of
from headrace.projects.rules import is_answered


@dataclass(frozen=True, kw_only=True)
class PromptGaps:
    """What is missing around the prompts.

    Attributes:
        undeclared: models that no provider here answers for, each with what to declare.
        placeholders: background that still says what the template wrote.
        too_long: what instructs agents and is longer than it may be.
    """

    undeclared: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    too_long: tuple[str, ...] = ()


def prompt_gaps(home: Path, project: Project, folder: Path) -> PromptGaps:
    """What is missing; nothing for a project that has no prompts.

    Args:
        home: of this installation, with its ``providers.yaml``.
        folder: of the project.

    Raises:
        InvalidInput: a prompt or ``providers.yaml`` cannot be read.

    Example::

        prompt_gaps(app.settings.home, project, Path.cwd()).undeclared
    """
    if project.task not in GENERATIVE:
        return PromptGaps()
    endpoints = read_providers(home / FILE).endpoints()
    undeclared: dict[str, None] = {}
    placeholders: dict[str, None] = {}
    too_long: dict[str, None] = {}
    for file in dict.fromkeys(variant.trainer for variant in project.variants):
        prompt = read_prompt(folder, file)
        for model in (*prompt.models, *prompt.embeddings, *prompt.moderations):
            target = Target.parse(model)
            endpoint = endpoints.get(target.endpoint)
            if endpoint is None:
                known = ", ".join(sorted(endpoints)) or "none"
                undeclared[
                    f"{file} asks {model}, and there is no provider {target.endpoint!r} (has: {known}): "
                    f"declare it in {home / FILE}"
                ] = None
                continue
            try:
                endpoint.check(target.model)
            except NotFound as error:
                undeclared[f"{file} asks {model}: {str(error).rstrip('.')}"] = None
        outcome, reason, _ = judge_agent_files(llm_of(project).agent_files, prompt)
        if outcome != "passed":
            too_long[reason] = None
        for name, text in prompt.context.items():
            if not is_answered(text):
                placeholders[f"{file}: its background {name!r} is not written yet"] = None
    return PromptGaps(
        undeclared=tuple(undeclared), placeholders=tuple(placeholders), too_long=tuple(too_long)
    )
