"""What a guard is, and what it says about a text.

A guard looks at one text and changes nothing. It names what it found and what is to be done about it; the
pipeline does it. So guards may be put together in any order, and each can be tested alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Layer = Literal["input", "context", "tool_arguments", "tool_result", "output"]
LAYERS: tuple[Layer, ...] = ("input", "context", "tool_arguments", "tool_result", "output")
"""Where a text stands: what a caller wrote, what was retrieved, what a tool is given, what it gave back, and
what the caller gets."""
Action = Literal["pass", "mask", "flag", "block"]
ACTIONS: tuple[Action, ...] = ("pass", "mask", "flag", "block")
"""The mildest first. ``flag`` lets the text through as it is and records the hit."""
STRICTER: tuple[Action, ...] = ("pass", "flag", "mask", "block")
"""By what they let through, the most first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """Something that a guard found: ``text[start:end]`` of the cleaned text that it was shown.

    Attributes:
        rule: what was broken, the guard's name first: ``personal.email``.
        span: start and end, in characters. Of a JSON document: in its strings, one to a line.
        detail: for people. It is recorded, so it never holds what was found.
        label: what stands in the place of what is masked: ``EMAIL`` becomes ``<EMAIL>``.
        score: of a classifier, between 0 and 1.
    """

    rule: str
    layer: Layer
    action: Action
    span: tuple[int, int]
    detail: str
    label: str = "REMOVED"
    score: float | None = None


class Advice(NamedTuple):
    """What a guard has yet to say of a text; it will ask for no more than a flag.

    Attributes:
        guard: its name.
        look: what it says.
    """

    guard: str
    layer: Layer
    text: str
    look: Callable[[], Sequence[Hit]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Where the text stands.

    Attributes:
        tool: the tool's name, where the layer is one of a tool's.
        sources: what an answer may rest on: the prompt, the question, what was retrieved, what tools gave.
        document: of a JSON document the whole of it as it came, where the text is its strings only.
        aside: whether it stands beside an answer and is none: a refusal, or what a model says in thinking.
        later: where a guard may leave what takes it long and decides nothing; None: it says all of it now.
    """

    layer: Layer
    tool: str = ""
    sources: tuple[str, ...] = ()
    document: str | None = None
    aside: bool = False
    later: list[Advice] | None = None


class Guard(Protocol):
    """Looks at texts of some layers.

    A guard keeps nothing between two texts, may be asked by several threads at once, and takes time that
    grows with the text's length only. It is given text without hidden characters.

    Its attributes may be plain ones. Example: any class in this package.
    """

    @property
    def name(self) -> str:
        """Lower-case, unique in a pipeline; every rule begins with it."""

    @property
    def layers(self) -> frozenset[Layer]:
        """Where it looks; at other texts it is not asked."""

    @property
    def reach(self) -> int | None:
        """How many characters of a stream wait for what follows them, because a hit needs that many to be
        seen as one; None: the whole text waits for its end."""

    @property
    def whole(self) -> bool:
        """Whether it has to see a text from beginning to end; of a stream it is asked once, at the end.

        Where its reach is a number all the same, it tells of what has gone already.
        """

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """What is wrong with ``text``; nothing, where all is well.

        Spans lie within the text. Whatever this raises counts as a hit that blocks.
        """


def stricter(one: Action, other: Action) -> Action:
    """The one of two that lets less through.

    >>> stricter("mask", "flag")
    'mask'
    """
    return max(one, other, key=STRICTER.index)


def severest(hits: Sequence[Hit]) -> Action:
    """What is to be done, all in all.

    >>> severest([])
    'pass'
    """
    return max([hit.action for hit in hits], key=ACTIONS.index) if hits else "pass"
