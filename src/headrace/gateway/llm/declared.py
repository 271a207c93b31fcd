"""What a project declares of its calls, and so whom they may go to."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.errors import Denied
from headrace.core.project import Project
from headrace.gateway.llm.endpoints import Providers, Target
from headrace.gateway.llm.terms import unmet
from headrace.projects.llm import Llm, llm_of

_REMEMBERED = 4_096


class Declared:
    """The declarations of all projects, each read once for as long as its charter stands.

    Args:
        closed: nothing may leave for a provider that is not self-hosted, whatever a project says.
    """

    def __init__(self, providers: Providers, *, closed: bool) -> None:
        self._providers = providers
        self._closed = closed
        self._known: dict[str, tuple[Project, Llm]] = {}

    def of(self, project: Project) -> Llm:
        """The section ``llm`` of a project's charter."""
        known = self._known.get(project.name)
        if known is not None and known[0] is project:
            return known[1]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        spec = llm_of(project)
        self._known[project.name] = project, spec
        return spec

    def fits(self, project: Project, target: Target) -> bool:
        """Whether the project's data may go to a model whose provider is declared."""
        provider = self._providers.providers.get(target.endpoint)
        needs = self.of(project).needs
        return provider is not None and not unmet(needs, provider.terms, closed=self._closed)

    def permitted(self, project: Project, targets: Sequence[Target]) -> tuple[Target, ...]:
        """Those of ``targets`` that the project's data may go to, in their order.

        Raises:
            Denied: to none of them; the message says what each does not promise.
            NotFound: a provider was not declared.
        """
        needs = self.of(project).needs
        terms = {one: self._providers.get(one.endpoint).terms for one in targets}
        wrong = {one: unmet(needs, terms[one], closed=self._closed) for one in targets}
        fit = tuple(one for one in targets if not wrong[one])
        if fit or not targets:
            return fit
        said = "; ".join(f"{target}: {', '.join(why)}" for target, why in wrong.items())
        others = [str(one) for one in self._providers.targets() if self.fits(project, one)]
        raise Denied(
            f"The data of {project.name!r} may go to no model of its release. {said}. Models whose "
            f"provider promises it: {', '.join(others[:8]) or 'none'}. Name one of them, or correct "
            "llm.needs in headrace.yaml or the terms in providers.yaml."
        )
