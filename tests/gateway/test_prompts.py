"""A prompt as people write it, and as it is released."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.prompts import Prompt, read_prompt

WRITTEN = """---
model: [openai/small, own/large]
parameters: {temperature: 0.2, max_tokens: 300, logit_bias: {"50256": -100}}
context: {company: prompts/company.md}
variables: {customer: null, tone: kind}
contract: prompts/answer.json
---
You are {{ tone }} to {{ customer }}.

{{ company }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/answer.md").write_text(WRITTEN)
    (tmp_path / "prompts/company.md").write_text("We sell shoes.\n")
    (tmp_path / "prompts/answer.json").write_text('{"type": "object", "required": ["answer"]}')
    return tmp_path


@pytest.mark.requirement("PRM-05")
def test_what_it_names_becomes_part_of_it(folder: Path) -> None:
    prompt = read_prompt(folder, "prompts/answer.md")
    assert prompt.models == ("openai/small", "own/large")
    assert prompt.contract == {"type": "object", "required": ["answer"]}
    (folder / "prompts/company.md").write_text("We sell hats.")
    assert prompt.instructions({"customer": "Ada"}) == "You are kind to Ada.\n\nWe sell shoes."
    assert read_prompt(folder, "prompts/answer.md").to_bytes() != prompt.to_bytes()


def test_its_artefact_is_the_same_each_time_and_whole(folder: Path) -> None:
    prompt = read_prompt(folder, "prompts/answer.md")
    assert Prompt.from_bytes(prompt.to_bytes()) == prompt
    assert read_prompt(folder, "prompts/answer.md").to_bytes() == prompt.to_bytes()


def test_variables_are_those_that_are_declared(folder: Path) -> None:
    prompt = read_prompt(folder, "prompts/answer.md")
    with pytest.raises(InvalidInput, match="needs a value for 'customer'. Its variables are: customer, tone"):
        prompt.instructions({})
    with pytest.raises(InvalidInput, match="does not know 'company'"):
        prompt.instructions({"customer": "Ada", "company": "Ignore that."})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("---\nmodel", "model", "no front matter"),
        ("model: [openai/small, own/large]", "model: small", "Expected ENDPOINT/MODEL"),
        ("model: [openai/small, own/large]", "model: []", "names none"),
        ("variables:", "variabels:", "variabels"),
        ("temperature: 0.2", "messages: []", "has 'messages'"),
        ("prompts/company.md", "prompts/absent.md", "cannot be read"),
        ("prompts/company.md", "../company.md", "outside of the project"),
        ("prompts/company.md", "/etc/hostname", "outside of the project"),
        ("prompts/company.md", "company.md", "'company.md' is not part of what is released"),
        ("variables:", "agent_files: [notes.md]\nvariables:", "'notes.md' is not part of what is released"),
        ("variables:", "agent_files: [skills]\nvariables:", "'skills' cannot be read"),
        ("{customer: null, tone: kind}", "{customer: null}", "'tone' is neither"),
        (
            "{customer: null, tone: kind}",
            "{customer: null, tone: kind, company: x}",
            "background and variable",
        ),
        ("contract: prompts/answer.json", "contract: prompts/company.md", "no JSON schema"),
        ("{{ company }}", "{{ company.__class__() }}", "template"),
        ("model: [", "model: [[", "front matter is not as expected"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, old: str, new: str, said: str) -> None:
    (folder / "prompts/answer.md").write_text(WRITTEN.replace(old, new))
    for name in ("company.md", "notes.md"):
        (folder / name).write_text("Beside the prompts.")
    with pytest.raises(InvalidInput, match=f"prompts/answer.md: .*{said}"):
        read_prompt(folder, "prompts/answer.md")


@pytest.mark.parametrize("data", [b"", b"text", Prompt(template="", models=("a/b",)).to_bytes()[:-40]])
def test_a_damaged_artefact_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="prompt"):
        Prompt.from_bytes(data)


def test_a_file_that_is_too_long_or_no_text_is_refused(folder: Path) -> None:
    (folder / "prompts/company.md").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_prompt(folder, "prompts/answer.md")
    (folder / "prompts/company.md").write_bytes(b"x" * 300_000)
    with pytest.raises(InvalidInput, match="at most"):
        read_prompt(folder, "prompts/answer.md")


@pytest.mark.requirement("PRM-06")
def test_files_that_instruct_agents_are_part_of_it_and_seen_in_its_text(folder: Path) -> None:
    skill = folder / "skills/refunds"
    (skill / ".cache").mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: refunds\ndescription: Money back.\n---\nAsk first.\n")
    (skill / "rates.md").write_text("9.50\r\n")
    (skill / ".cache/x.md").write_text("not for agents")
    (folder / "AGENTS.md").write_text("Be kind.")
    without = read_prompt(folder, "prompts/answer.md")
    written = WRITTEN.replace("variables:", "agent_files: [AGENTS.md, skills]\nvariables:")
    (folder / "prompts/answer.md").write_text(written)
    prompt = read_prompt(folder, "prompts/answer.md")
    assert list(prompt.agent_files) == ["AGENTS.md", "skills/refunds/SKILL.md", "skills/refunds/rates.md"]
    assert prompt.agent_files["skills/refunds/rates.md"] == "9.50\r\n"
    assert Prompt.from_bytes(prompt.to_bytes()) == prompt
    assert prompt.to_bytes() != without.to_bytes()
    assert prompt.text.startswith(without.text)
    assert "[AGENTS.md]\nBe kind." in prompt.text
    assert prompt.instructions({"customer": "Ada"}) == without.instructions({"customer": "Ada"})
    (skill / "SKILL.md").write_text("Ask first.")
    with pytest.raises(InvalidInput, match=r"prompts/answer.md: 'skills/refunds/SKILL.md' has no name"):
        read_prompt(folder, "prompts/answer.md")
    for number in range(200):
        (skill / f"{number}.md").write_text("x")
    with pytest.raises(InvalidInput, match="more than 200 files"):
        read_prompt(folder, "prompts/answer.md")


def test_a_prompt_without_them_has_the_artefact_that_it_had_before_there_were_any(folder: Path) -> None:
    assert b"agent_files" not in read_prompt(folder, "prompts/answer.md").to_bytes()
