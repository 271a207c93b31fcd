"""What may happen to a reviewed text, and which of several is the one that holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.reviewed_texts import Approve, Refuse, Supersede, newest_usable, transition
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, IllegalTransition, InvalidInput
from headrace.core.identity import PolicyText
from headrace.testing import START
from headrace.testing.memory import MemoryRecords

State = Literal["waiting", "live", "superseded", "refused"]
STATES: tuple[State, ...] = ("waiting", "live", "superseded", "refused")


def make_text(version: int = 1, text: str = "good", state: State = "waiting") -> PolicyText:
    return PolicyText(
        id=f"text-{version}",
        workspace="main",
        subject="main",
        version=version,
        text=text,
        digest=digest_bytes(text.encode()),
        author="ann",
        at=START,
        state=state,
    )


def test_a_text_is_decided_once_and_never_by_its_author() -> None:
    waiting = make_text()
    live = transition(waiting, Approve(by="vic", at=START))
    assert (live.state, live.approver, live.revision) == ("live", "vic", 1)
    assert transition(waiting, Refuse(by="vic", at=START)).state == "refused"
    assert transition(live, Supersede(at=START)).state == "superseded"
    for event in (Approve(by="ann", at=START), Refuse(by="ann", at=START)):
        with pytest.raises(Conflict, match="is the work of 'ann'"):
            transition(waiting, event)


@given(
    st.sampled_from(STATES),
    st.sampled_from([Approve(by="vic", at=START), Refuse(by="vic", at=START), Supersede(at=START)]),
)
def test_there_are_three_steps_and_no_others(state: State, event: Approve | Refuse | Supersede) -> None:
    text, decides = make_text(state=state), not isinstance(event, Supersede)
    if (state == "waiting" and decides) or (state == "live" and not decides):
        assert transition(text, event).revision == 1
    else:
        with pytest.raises(IllegalTransition, match=f"is {state}"):
            transition(text, event)


@given(st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(["good", "bad", "altered"])), max_size=6))
def test_the_newest_live_text_that_can_be_used_holds_else_the_newest_before_it(
    kept: list[tuple[State, str]],
) -> None:
    records: MemoryRecords[PolicyText] = MemoryRecords()
    for version, (state, quality) in enumerate(kept, start=1):
        text = make_text(version, quality, state)
        records.add(replace(text, digest="another") if quality == "altered" else text)

    def read(text: PolicyText) -> int:
        if text.text == "bad":
            raise InvalidInput("It does not parse.")
        return text.version

    reported: list[int] = []
    found = newest_usable(
        records, "main", "main", read=read, report=lambda text, _why: reported.append(text.version)
    )
    numbered = [(version, *one) for version, one in enumerate(kept, start=1)]
    live = [version for version, state, quality in numbered if (state, quality) == ("live", "good")]
    former = [version for version, state, quality in numbered if (state, quality) == ("superseded", "good")]
    assert found == max(live, default=max(former, default=None))
    passed_over = {version for version, state, quality in numbered if quality != "good"}
    assert set(reported) <= passed_over
