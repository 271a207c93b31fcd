"""What "Release a prompt" says of asking is what happens, in the order in which a reader meets it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from headrace.app.llm import drafts
from headrace.gateway.prompts import Prompt
from headrace.testing.scripted_answers import Answer
from tests.web.prompted import PROJECT, PROMPT, Desk

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "release-a-prompt.md"
_ASKING = re.compile(r"^## Ask it\n(.*?)^## ", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def says(code: str, desk: Desk, known: dict[str, Any]) -> Any:
    """What the last line of a block of the page is, after those before it."""
    *before, last = code.replace("http://127.0.0.1:8000", desk.url).strip().splitlines()
    exec("\n".join(before), known)  # noqa: S102  the page's own words
    return eval(last, known)  # noqa: S307


def promised(code: str) -> str:
    """What the comment beside the last line says that it is."""
    return code.strip().splitlines()[-1].partition("  # '")[2].rstrip("'").removesuffix("...").strip()


def test_the_first_answer_is_a_draft_as_the_page_says(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _ASKING.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    first, then, with_variables = _CODE.findall(found[1])
    desk.release(PROMPT, llm={"oversight": {"faces": "customers"}})
    desk.model.script = Answer(text="30 days")
    monkeypatch.setenv("HEADRACE_TOKEN", desk.token())
    known: dict[str, Any] = {}
    assert says(first, desk, known).startswith(promised(first)), promised(first)
    assert known["answer"].choices[0].finish_reason == "content_filter"
    rita = desk.app.identities.add("rita", ["validator"], actor=desk.app.me().name)
    drafts.decide(desk.app, rita, known["answer"].id, "approved")
    assert says(then, desk, known) == promised(then) == "30 days"
    written = Prompt(
        template="You answer {{ customer }}.", models=("local/small",), variables={"customer": None}
    )
    release_id = desk.release(written)
    *before, last = with_variables.strip().split("\n)\n")
    exec("\n".join(before) + "\n)", known)  # noqa: S102  the page's own words
    assert eval(last, known)[1] == release_id  # noqa: S307
    assert PROJECT in first
