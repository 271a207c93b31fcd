from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.fields import FieldRules
from headrace.access.privacy.keys import WorkspaceKeys
from headrace.access.privacy.projects import Privacy
from headrace.access.privacy.recognisers import mask
from headrace.access.privacy.redacting import Recogniser, Span, builtin, redactor
from headrace.core.errors import Unavailable
from headrace.core.project import Column, DataSpec, PrivacySpec, Project
from headrace.testing import FakeClock, MemoryEpoch, make_prediction, make_project


def word(label: str, *words: str) -> Recogniser:
    """Recognises these words and nothing else."""

    def recognise(text: str) -> list[Span]:
        return [Span(label, text.index(w), text.index(w) + len(w)) for w in words if w in text]

    return recognise


def project_with(*recognisers: str) -> Project:
    columns = (Column(name="note", role="categorical"),)
    spec = PrivacySpec(basis="consent", recognisers=recognisers)  # type: ignore[arg-type]
    return make_project(data=DataSpec(source="p.csv", target="y", columns=columns), privacy=spec)


@pytest.mark.requirement("PRV-01")
def test_what_any_of_them_recognises_is_taken_out() -> None:
    redact = redactor([builtin, word("PERSON", "Ada", "Bob")])
    assert redact("Ada (ada@example.org) met Bob") == "<PERSON> (<EMAIL>) met <PERSON>"
    assert redact("nobody") == "nobody"


@pytest.mark.requirement("PRV-01")
def test_where_they_overlap_all_of_it_goes_under_the_first_ones_label() -> None:
    text = "to ada@example.org today"
    for other in ("ada", "example", "ada@example.org", "org today", "to ada", text):
        redacted = redactor([builtin, word("OTHER", other)])(text)
        assert "<EMAIL>" in redacted
        assert "OTHER" not in redacted
        assert not {"ada", "example", "org"} & set(redacted.replace("<EMAIL>", " ").split())


@given(st.text(max_size=60))
def test_the_built_in_ones_alone_are_what_masking_is(text: str) -> None:
    assert redactor([builtin])(text) == mask(text)


@pytest.mark.requirement("PRV-01", "PRV-07")
def test_the_record_of_answers_holds_nothing_that_they_recognise() -> None:
    rules = FieldRules(project_with(), b"k" * 32, redactor([builtin, word("PERSON", "Ada")]))
    columns = {"note": ["Ada, ada@example.org"]}
    recorded = rules.prediction(make_prediction(n_rows=1, keys=None, columns=columns, outputs={}))
    assert recorded.columns == {"note": ["<PERSON>, <EMAIL>"]}
    assert rules.text("Ada failed", columns, None) == "<PERSON> failed"
    assert rules.remark("Ada was rude") == "<PERSON> was rude"


class _Declared:
    def __init__(self, project: Project) -> None:
        self.project = project

    def in_force(self, _: str) -> Project:
        return self.project

    def workspace(self, _: str) -> str:
        return "main"

    def edition(self) -> object:
        return self.project


@pytest.mark.requirement("PRV-01")
def test_a_project_gets_the_plug_in_that_it_asks_for_and_no_other(tmp_path: object) -> None:
    def absent() -> Recogniser:
        raise Unavailable("presidio is not installed. pip install 'headrace[privacy]'")

    def rules(made: Recogniser | None, *recognisers: str) -> FieldRules:
        plugins = {"presidio": absent if made is None else lambda: made}
        keys = WorkspaceKeys(tmp_path)  # type: ignore[arg-type]
        declared = _Declared(project_with(*recognisers))
        return Privacy(declared, declared, keys, MemoryEpoch(), FakeClock(), plugins).rules("cars")  # type: ignore[arg-type]

    ada = word("PERSON", "Ada")
    assert rules(ada, "builtin", "presidio").remark("Ada, ada@example.org") == "<PERSON>, <EMAIL>"
    assert rules(ada, "presidio").remark("Ada, ada@example.org") == "<PERSON>, <EMAIL>", "ours always look"
    assert rules(None, "builtin").remark("Ada, ada@example.org") == "Ada, <EMAIL>"
    with pytest.raises(Unavailable, match=r"headrace\[privacy\]"):
        rules(None, "presidio")
