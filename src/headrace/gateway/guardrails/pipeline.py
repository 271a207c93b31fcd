"""Runs guards over texts, messages and documents, and does what they say.

1. The text is cleaned. 2. Every guard of its layer looks at the same cleaned text, so that their order means
nothing. 3. What is to be masked is replaced, once where masks overlap. 4. The severest action is the verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import Action, Advice, Context, Guard, Hit, Layer, severest
from headrace.gateway.guardrails.hygiene import Hygiene
from headrace.gateway.guardrails.placeholders import Placeholders


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A text as it may go on. Where ``blocked``, it may not, and ``text`` is empty."""

    text: str
    hits: tuple[Hit, ...] = ()

    @property
    def verdict(self) -> Action:
        """The severest of what the hits ask for."""
        return severest(self.hits)

    @property
    def blocked(self) -> bool:
        """Whether the text may not go on."""
        return self.verdict == "block"

    @property
    def reason(self) -> str:
        """Why it is blocked, for the caller: rules and details, and nothing of the text."""
        return "; ".join(dict.fromkeys(f"{h.rule}: {h.detail}" for h in self.hits if h.action == "block"))


class Pipeline:
    """Guards, put together. Has no state: one serves all requests of a release, from any thread.

    Args:
        guards: in any order; their names differ.
        hygiene: how texts are cleaned before.

    Attributes:
        layers: where a guard looks.

    Raises:
        InvalidInput: two guards have one name.

    Example::

        checked = Pipeline([PersonalData()]).check("I am ada@example.org", Context(layer="input"))
    """

    def __init__(self, guards: Sequence[Guard], *, hygiene: Hygiene | None = None) -> None:
        twice = [name for name, n in Counter(guard.name for guard in guards).items() if n > 1]
        if twice:
            raise InvalidInput(f"Two guards are called {twice[0]!r}; give each a name of its own.")
        self.guards = tuple(guards)
        self.layers = frozenset[Layer]().union(*(guard.layers for guard in guards))
        self.hygiene = hygiene or Hygiene()

    def check(self, text: str, context: Context, placeholders: Placeholders | None = None) -> Checked:
        """``text`` as it may go on from ``context.layer``.

        Args:
            placeholders: of the request; what is masked can then be put back into its answer.
        """
        texts, hits = self.check_all([text], context, placeholders)
        return Checked(text=texts[0], hits=hits)

    def check_all(
        self, texts: Sequence[str], context: Context, placeholders: Placeholders | None = None
    ) -> tuple[list[str], tuple[Hit, ...]]:
        """Texts that belong together, such as the strings of a document, looked at as one, a line each.

        So what is split between two strings is seen all the same. Spans are those of the lines as one text.
        """
        n_chars = sum(map(len, texts))
        hits = self.hygiene.hits(n_chars, 0, 0, context.layer)
        if hits:
            return [""] * len(texts), tuple(hits)
        lines, n_hidden, n_tags = [], 0, 0
        for text in texts:
            line, hidden, tags = self.hygiene.cleaned(text)
            lines.append(line)
            n_hidden += hidden
            n_tags += tags
        hits = self.hygiene.hits(n_chars, n_hidden, n_tags, context.layer)
        joined = "\n".join(lines)
        for guard in self.guards:
            hits += looked_at(guard, joined, context)
        if not hits:
            return lines, ()
        if severest(hits) == "block":
            return [""] * len(texts), tuple(hits)
        return masked(lines, hits, context, placeholders), tuple(hits)


def looked_at(guard: Guard, text: str, context: Context) -> Sequence[Hit]:
    """What a guard says; one that fails could not look, so nothing passes it."""
    if context.layer not in guard.layers:
        return ()
    try:
        return guard.check(text, context)
    except Exception as error:  # noqa: BLE001 - a guard may be anybody's
        return [_failed(guard.name, context.layer, error, "block", "nothing passes it")]


def advised(advice: Advice) -> Sequence[Hit]:
    """What a guard says after its text was let through; that it failed is flagged."""
    try:
        return advice.look()
    except Exception as error:  # noqa: BLE001 - as above
        return [_failed(advice.guard, advice.layer, error, "flag", "nothing is known of the text")]


def _failed(guard: str, layer: Layer, error: Exception, action: Action, so: str) -> Hit:
    detail = f"the guard failed ({type(error).__name__}), so {so}"
    return Hit(rule=f"{guard}.error", layer=layer, action=action, span=(0, 0), detail=detail)


def masked(
    lines: Sequence[str], hits: Iterable[Hit], context: Context, placeholders: Placeholders | None
) -> list[str]:
    """The lines with what is masked replaced; a mask over several lines stands in the first of them.

    What is masked in an answer never came from its caller, so nothing is kept to put it back.
    """
    spans = merged(hits)
    if not spans:
        return list(lines)
    if context.layer == "output":
        placeholders = None
    if placeholders is not None:
        for line in lines:
            placeholders.reserve(line)
    joined, replaced, offset = "\n".join(lines), [], 0
    for line in lines:
        end = offset + len(line)
        parts, position = [], 0
        for start, stop, label in spans:
            if start >= end or stop <= offset:
                continue
            parts.append(line[position : max(0, start - offset)])
            if start >= offset:
                stand_in = f"<{label}>"
                if placeholders is not None:
                    stand_in = placeholders.stand_in(label, joined[start:stop], context.layer)
                parts.append(stand_in)
            position = min(len(line), stop - offset)
        replaced.append("".join([*parts, line[position:]]))
        offset = end + 1
    return replaced


def merged(hits: Iterable[Hit]) -> list[tuple[int, int, str]]:
    """What is to be masked, in order: where spans overlap, all of it, under the label that begins first."""
    spans: list[tuple[int, int, str]] = []
    for start, end, label in sorted((*hit.span, hit.label) for hit in hits if hit.action == "mask"):
        if start == end:
            continue
        if spans and start < spans[-1][1]:
            first, last, known = spans[-1]
            spans[-1] = (first, max(last, end), known)
        else:
            spans.append((start, end, label))
    return spans
