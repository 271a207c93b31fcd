"""What a run would stumble over in prompts is said before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from headrace.app.llm.prompt_readiness import PromptGaps, prompt_gaps
from headrace.core.project import Variant
from headrace.gateway.llm.endpoints import FILE
from headrace.testing.factories import make_project

LOCAL = "providers: {local: {url: 'http://127.0.0.1:8000/v1', terms: {self_hosted: true}}}"


def test_models_without_a_provider_and_background_without_words_are_named(tmp_path: Path) -> None:
    project = replace(
        make_project(task="text_generation"),
        variants=(Variant(name="answer", trainer="prompts/answer.md", params={}),),
    )
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "about.md").write_text("To be filled: what one has to know.", encoding="utf-8")
    (prompts / "answer.md").write_text(
        "---\nmodel: local/small\ncontext: {about: prompts/about.md}\nagent_files: [AGENTS.md]\n---\n"
        "Rest on {{ about }}\n",
        encoding="utf-8",
    )
    (tmp_path / "AGENTS.md").write_text("Be kind. " * 4_000, encoding="utf-8")
    gaps = prompt_gaps(tmp_path, project, tmp_path)
    (undeclared,) = gaps.undeclared
    assert "prompts/answer.md asks local/small, and there is no provider 'local' (has: none)" in undeclared
    assert gaps.placeholders == ("prompts/answer.md: its background 'about' is not written yet",)

    (long,) = gaps.too_long
    assert "reads 36,000 characters before its first call: at most 32,000" in long

    (tmp_path / "AGENTS.md").write_text("Be kind.", encoding="utf-8")
    (tmp_path / FILE).write_text(LOCAL, encoding="utf-8")
    (prompts / "about.md").write_text("Thirty days.", encoding="utf-8")
    assert prompt_gaps(tmp_path, project, tmp_path) == PromptGaps()


def test_what_has_no_prompts_lacks_nothing(tmp_path: Path) -> None:
    assert prompt_gaps(tmp_path, make_project(), tmp_path) == PromptGaps()
