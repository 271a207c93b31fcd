"""What guards say of calls after these were let through: of all that come at one moment in one go.

The classifier only advises, so a call does not wait for it: it goes out, and its text is scored while its
model is at work. To score one short text costs what the calls of numpy cost, and those are as many for
sixteen texts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from headrace.gateway.guardrails.classifier import remembered
from headrace.gateway.guardrails.guards import Advice

MOST_BYTES = 4_000
"""Of a call. A longer one costs as much alone, and may not hold up the event loop."""
_MOST_CHARS = 64_000
"""Of all calls in one turn of the loop."""
_log = logging.getLogger(__name__)


class Together:
    """Safe to use from several event loops."""

    def __init__(self) -> None:
        self._turns: dict[asyncio.AbstractEventLoop, list[tuple[Sequence[Advice], Callable[[], None]]]] = {}

    def ask(self, advice: Sequence[Advice], then: Callable[[], None]) -> None:
        """Score the texts with those of others in the next turn of the event loop; ``then`` is called once
        the guards find the scores remembered.

        Example::

            guarded.request(asked.messages)
            together.ask(guarded.later, guarded.advised)
        """
        if not advice:
            return
        loop = asyncio.get_running_loop()
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = []
            loop.call_soon(self._score, loop)
        turn.append((advice, then))

    def _score(self, loop: asyncio.AbstractEventLoop) -> None:
        turn, texts, n_chars, n_calls = self._turns[loop], [], 0, 0
        for advice, _ in turn:
            n_chars += sum(len(one.text) for one in advice)
            if n_calls and n_chars > _MOST_CHARS:
                break
            texts += [one.text for one in advice]
            n_calls += 1
        now, rest = turn[:n_calls], turn[n_calls:]
        if rest:
            self._turns[loop] = rest
            loop.call_soon(self._score, loop)
        else:
            del self._turns[loop]
        try:
            remembered().look_at(texts)
        except Exception:  # noqa: BLE001
            # Boundary: each guard tries once more, and says of its own text that it could not look.
            _log.exception("%d texts could not be scored together", len(texts))
        for _, then in now:
            then()
