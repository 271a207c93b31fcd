"""What every guard promises."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from headrace.gateway.guardrails.guards import ACTIONS, Context, Guard
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.streams import CheckedStream

_STRANGE = (
    "",
    " ",
    "\n",
    "\\",
    "<>",
    "{}",
    "é漢🙂",
    "a" * 5000,
    "%s %(x)s {0}",
    "-----BEGIN ",
    '{"a": [1, null]}',
)
_LEAST_TOLD = 4


class GuardSuite:
    """Fixtures ``guard``; ``context``: where it looks; ``caught``: texts that hold what it is for; ``clean``:
    texts that do not."""

    def test_it_finds_what_it_is_for(self, guard: Guard, context: Context, caught: Sequence[str]) -> None:
        assert [text for text in caught if not guard.check(text, context)] == []

    def test_it_leaves_other_texts_alone(self, guard: Guard, context: Context, clean: Sequence[str]) -> None:
        assert [text for text in clean if guard.check(text, context)] == []

    def test_it_says_what_it_found_and_where(
        self, guard: Guard, context: Context, caught: Sequence[str]
    ) -> None:
        assert guard.name == guard.name.lower()
        for text in caught:
            for hit in guard.check(text, context):
                assert hit.rule.partition(".")[0] == guard.name
                assert hit.layer == context.layer
                assert hit.action in ACTIONS
                assert hit.action != "pass", "what passes is no hit"
                assert 0 <= hit.span[0] <= hit.span[1] <= len(text)
                assert hit.score is None or 0 <= hit.score <= 1
                assert hit.label.isupper(), "it stands in a text as <LABEL>"

    def test_what_it_says_does_not_tell_what_it_found(
        self, guard: Guard, context: Context, caught: Sequence[str]
    ) -> None:
        for text in caught:
            for hit in guard.check(text, context):
                found = text[slice(*hit.span)]
                assert len(found) < _LEAST_TOLD or found not in f"{hit.rule} {hit.detail}"

    def test_it_says_the_same_again_and_to_many_at_once(
        self, guard: Guard, context: Context, caught: Sequence[str], clean: Sequence[str]
    ) -> None:
        texts = [*caught, *clean]
        expected = [list(guard.check(text, context)) for text in texts]
        with ThreadPoolExecutor(4) as threads:
            for _ in range(4):
                assert list(threads.map(lambda text: list(guard.check(text, context)), texts)) == expected

    def test_no_text_makes_it_fail(self, guard: Guard, context: Context) -> None:
        for text in _STRANGE:
            for hit in guard.check(text, context):
                assert 0 <= hit.span[0] <= hit.span[1] <= len(text)

    def test_a_stream_ends_as_the_whole_text_does(
        self, guard: Guard, context: Context, caught: Sequence[str], clean: Sequence[str]
    ) -> None:
        pipeline = Pipeline([guard])
        for text in [*caught, *clean]:
            whole = pipeline.check(text, context)
            for size in (1, 7):
                stream = CheckedStream(pipeline, context)
                steps = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
                steps.append(stream.close())
                assert any(step.blocked for step in steps) == whole.blocked
                if not whole.blocked:
                    assert "".join(step.text for step in steps) == whole.text
