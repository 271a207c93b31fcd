"""Guards over a text that comes in pieces: its end waits until what follows cannot change the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headrace.gateway.guardrails.guards import Context, Hit, severest
from headrace.gateway.guardrails.pipeline import Checked, Pipeline, looked_at, masked
from headrace.gateway.guardrails.placeholders import Placeholders, uncut

_BEFORE = 256
"""Characters that were sent already and are looked at again, so that a rule sees what stands before."""


class CheckedStream:
    """One text on its way. Not to be shared between threads.

    What :meth:`feed` gives back may be sent. After a block it gives nothing any more, whatever comes; what
    was sent before was in order for as far as it went. A guard that must see the whole text, and may stop or
    change it, holds all of it back until :meth:`close`.

    Args:
        placeholders: of the request; what they may give back stands in the text again.

    Example::

        stream = CheckedStream(pipeline, Context(layer="output"))
        for piece in pieces:
            send(stream.feed(piece).text)
        send(stream.close().text)
    """

    def __init__(
        self, pipeline: Pipeline, context: Context, placeholders: Placeholders | None = None
    ) -> None:
        guards = [guard for guard in pipeline.guards if context.layer in guard.layers]
        self._windowed = [guard for guard in guards if not guard.whole]
        self._whole = [guard for guard in guards if guard.whole]
        reaches = [guard.reach for guard in guards if guard.reach is not None]
        self._held = None if len(reaches) < len(guards) else max(reaches, default=0)
        self._hygiene, self._context, self._placeholders = pipeline.hygiene, context, placeholders
        self._sent: list[str] = []
        self._n_sent = self._n_hidden = self._n_tags = 0
        self._before = self._pending = ""
        self._told: set[tuple[str, tuple[int, int]]] = set()
        self._blocked: tuple[Hit, ...] = ()

    def feed(self, piece: str) -> Checked:
        """Take the next piece; gives what may be sent now, and hits that are new, with spans in the whole."""
        return self._step(piece, last=False)

    def close(self) -> Checked:
        """The rest, once no piece is left."""
        return self._step("", last=True)

    def _step(self, piece: str, *, last: bool) -> Checked:
        if self._blocked:
            return Checked(text="", hits=self._blocked)
        hits = self._take(piece)
        position = 0
        if severest(hits) != "block" and (last or self._held is not None):
            found, position = self._look(last=last)
            hits += [*found, *(self._look_at_whole() if last else ())]
        new = tuple(hit for hit in hits if (hit.rule, hit.span) not in self._told)
        self._told.update((hit.rule, hit.span) for hit in new)
        if severest(new) == "block":
            self._blocked = tuple(hit for hit in new if hit.action == "block")
            self._pending = ""
            return Checked(text="", hits=new)
        return Checked(text=self._release(position, new), hits=new)

    def _take(self, piece: str) -> list[Hit]:
        cleaned, n_hidden, n_tags = self._hygiene.cleaned(piece, (self._before + self._pending)[-1:])
        self._pending += cleaned
        self._n_hidden, self._n_tags = self._n_hidden + n_hidden, self._n_tags + n_tags
        n_chars = self._n_sent + len(self._pending) + self._n_hidden
        return self._hygiene.hits(n_chars, self._n_hidden, self._n_tags, self._context.layer)

    def _look(self, *, last: bool) -> tuple[list[Hit], int]:
        """Hits that are sure, and how much of what waits may be sent."""
        window = self._before + self._pending
        begin = self._n_sent - len(self._before)
        seen = [hit for guard in self._windowed for hit in looked_at(guard, window, self._context)]
        # What ends in the part that is sent was found when it was sent.
        found = [
            replace(hit, span=(max(self._n_sent, hit.span[0] + begin), hit.span[1] + begin))
            if hit.span[1]
            else hit
            for hit in seen
            if hit.span[1] > len(self._before) or not hit.span[1]
        ]
        if last:
            return found, len(self._pending)
        position = max(0, len(self._pending) - (self._held or 0))
        while True:
            end = self._n_sent + position
            cut = [hit.span[0] - self._n_sent for hit in found if hit.span[0] < end < hit.span[1]]
            lower = min([uncut(self._pending, position), *cut])
            if lower == position:
                return [hit for hit in found if hit.span[1] <= end], position
            position = lower

    def _look_at_whole(self) -> Iterable[Hit]:
        text = "".join([*self._sent, self._pending])
        return [hit for guard in self._whole for hit in looked_at(guard, text, self._context)]

    def _release(self, position: int, hits: Iterable[Hit]) -> str:
        going, self._pending = self._pending[:position], self._pending[position:]
        spans = [
            replace(hit, span=(max(0, hit.span[0] - self._n_sent), max(0, hit.span[1] - self._n_sent)))
            for hit in hits
        ]
        (text,) = masked([going], spans, self._context, self._placeholders)
        self._sent.append(going)
        self._n_sent += len(going)
        self._before = (self._before + going)[-_BEFORE:]
        if len(self._before) == _BEFORE:
            # A word that is cut looks like another one.
            self._before = self._before[self._before.find(" ") + 1 :]
        return self._placeholders.restore(text) if self._placeholders is not None else text
