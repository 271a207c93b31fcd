"""What was seen of models is removed in time and with its person, and no line of a log counts twice."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.app.composition import App, open_app
from headrace.app.llm import shadow_use
from headrace.app.llm.shadow_use import forget_old, forget_uses, import_log, report, write_down
from headrace.app.privacy.retaining import delete_old
from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.project import PrivacySpec
from headrace.gateway.llm.proxy_logs import LONGEST
from headrace.gateway.llm.shadow import OTHERS, ShadowCounts, Wanted
from headrace.store.shadow import ShadowUse
from headrace.testing import START, FakeClock, make_project, make_settings
from tests.app.erased import erase


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A home, and what it keeps of shadow use."""

    app: App
    clock: FakeClock
    log: Path

    def counts(self) -> dict[tuple[str, str], int]:
        """How often who was seen at what; logs aside."""
        rows = self.app.store.shadow.list()
        return {(one.what, one.who): one.n for one in rows if one.subject != "import"}

    def read(self, path: Path | None = None) -> ShadowUse:
        return import_log(self.app, self.app.me(), path or self.log).log

    def note(self, who: str, project: str = "", kind: Any = "model") -> None:
        counts = ShadowCounts(self.clock)
        counts.note(Wanted(kind, "gpt-4o", who, "main", project))
        write_down(self.app, counts)


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Seen]:
    clock = FakeClock()
    with open_app(make_settings(tmp_path), clock) as app:
        app.me()
        privacy = PrivacySpec(basis="consent", retention_days=30)
        app.store.projects.save(make_project(name="people", privacy=privacy), str(tmp_path))
        yield Seen(app=app, clock=clock, log=tmp_path / "access.log")


def line(user: str, host: str = "api.openai.com", at: datetime = START) -> str:
    return f"{at.timestamp():.3f} 9 10.0.0.7 TCP/200 4 CONNECT {host}:443 {user} D/1.2.3.4 -\n"


ANN, BOB = ("api.openai.com", "ann"), ("api.openai.com", "bob")


@pytest.mark.requirement("GOV-08")
def test_of_a_log_that_has_grown_only_what_is_new_counts(seen: Seen) -> None:
    seen.log.write_text(line("ann") + line("bob"))
    first = seen.read()
    assert (first.n, first.n_known, seen.counts()) == (2, 2, {ANN: 1, BOB: 1})
    seen.log.write_text(line("ann") + line("bob") + line("ann") + "broken\n")
    second = seen.read()
    assert (second.n, second.n_known, second.n_bad) == (2, 1, 1)
    assert second.note.startswith("line 4:")
    assert seen.counts() == {ANN: 2, BOB: 1}
    assert seen.read() == second
    assert seen.counts() == {ANN: 2, BOB: 1}
    rotated = seen.log.with_name("access.log.1.gz")
    rotated.write_bytes(gzip.compress(seen.log.read_bytes()))
    assert seen.read(rotated) == second, "it is the same log, under another name"
    rotated.write_bytes(gzip.compress(seen.log.read_bytes() + line("bob").encode()))
    assert seen.read(rotated).n == 1
    assert seen.counts() == {ANN: 2, BOB: 2}


@pytest.mark.requirement("GOV-08")
def test_another_log_of_the_same_length_counts(seen: Seen) -> None:
    seen.log.write_text(line("ann"))
    seen.read()
    seen.log.write_text(line("bob") + line("ann"))
    assert seen.read().n == 2
    assert seen.counts() == {ANN: 2, BOB: 1}


@pytest.mark.requirement("GOV-08")
def test_a_log_with_a_header_is_read_on_by_its_header(seen: Seen) -> None:
    head = "time,user,host\n"
    seen.log.write_text(head + f"{START.isoformat()},ann,api.openai.com\n")
    seen.read()
    with seen.log.open("a") as log:
        log.write(f"{START.isoformat()},bob,api.openai.com\n")
    assert seen.read().n == 1
    assert seen.counts() == {ANN: 1, BOB: 1}


@pytest.mark.requirement("GOV-08")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(users=st.lists(st.sampled_from(["ann", "bob", "café"]), min_size=1, max_size=8), data=st.data())
def test_however_a_log_is_cut_into_readings_each_line_counts_once(
    seen: Seen, users: list[str], data: st.DataObject
) -> None:
    forget_uses(seen.app, lambda one: True)
    whole = "".join(map(line, users)).encode()
    ends = [len("".join(map(line, users[: i + 1])).encode()) for i in range(len(users))]
    for end in [*sorted(data.draw(st.sets(st.sampled_from(ends)))), len(whole)]:
        seen.log.write_bytes(whole[:end])
        seen.read()
    assert seen.counts() == {("api.openai.com", user): users.count(user) for user in set(users)}


@pytest.mark.requirement("GOV-08")
def test_a_line_that_was_not_finished_counts_once(seen: Seen) -> None:
    seen.log.write_text(line("ann") + line("bob")[:-12])
    assert seen.read().n == 2
    seen.log.write_text(line("ann") + line("bob") + line("ann"))
    assert seen.read().n == 1
    assert seen.counts() == {ANN: 2, BOB: 1}


@pytest.mark.requirement("GOV-08", "PRV-02")
@pytest.mark.requirement("GOV-08")
@pytest.mark.parametrize("n_bytes", [4 * LONGEST, 4 * LONGEST + 1, 40 << 20])
def test_a_line_without_an_end_is_counted_as_unread_and_never_held(seen: Seen, n_bytes: int) -> None:
    endless = b"\xff" * n_bytes + b"\n"
    packed = seen.log.with_name("access.log.gz")
    packed.write_bytes(gzip.compress(line("ann").encode() + endless + line("bob").encode(), 1))
    tracemalloc.start()
    first = seen.read(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first.n, first.n_bad, seen.counts()) == (3, 1, {ANN: 1, BOB: 1})
    assert first.note == "line 2: it has more than 65,536 characters"
    assert peak < 20 << 20
    packed.write_bytes(gzip.compress((line("ann").encode() + endless + line("bob").encode() * 2), 1))
    assert seen.read(packed).n == 1
    assert seen.counts() == {ANN: 1, BOB: 2}
    packed.write_bytes(gzip.compress(b"{" + endless))
    with pytest.raises(InvalidInput, match="longer than 65,536 characters"):
        seen.read(packed)


def test_what_was_not_seen_for_a_year_is_removed_and_what_goes_on_stays(seen: Seen) -> None:
    seen.log.write_text(line("ann"))
    seen.read()
    seen.note("bob")
    seen.note("eve")
    seen.clock.advance(timedelta(days=364).total_seconds())
    assert forget_old(seen.app) == 0
    seen.note("eve")
    seen.clock.advance(timedelta(days=2).total_seconds())
    assert forget_old(seen.app) == 3, "ann, bob and the log"
    assert seen.counts() == {("gpt-4o", "eve"): 2}
    assert forget_old(seen.app) == 0


@pytest.mark.requirement("GOV-08", "PRV-02")
def test_what_was_seen_of_a_project_stays_as_long_as_its_answers(seen: Seen) -> None:
    seen.note("ann", "people", "use")
    seen.note("ann", "cars", "use")
    seen.note("ann")
    seen.clock.advance(timedelta(days=29).total_seconds())
    delete_old(seen.app, "people")
    assert len(seen.app.store.shadow.list()) == 3
    seen.clock.advance(timedelta(days=2).total_seconds())
    delete_old(seen.app, "people")
    assert sorted(one.project for one in seen.app.store.shadow.list()) == ["", "cars"]


@pytest.mark.requirement("GOV-08")
def test_an_erasure_takes_its_person_out_and_reading_the_log_again_brings_nobody_back(seen: Seen) -> None:
    seen.log.write_text(line("ann") + line("bob"))
    seen.read()
    seen.note("ann", "people", "use")
    erased = erase(seen.app, seen.app.me(), "ann")
    assert erased.events == 2
    assert seen.counts() == {BOB: 1}
    seen.read()
    assert seen.counts() == {BOB: 1}
    assert all("ann" not in repr(one) for one in seen.app.store.shadow.list())


def test_another_workspaces_counts_are_not_this_ones_to_erase(seen: Seen) -> None:
    counts = ShadowCounts(seen.clock)
    counts.note(Wanted("model", "gpt-4o", "ann", "team-b"))
    write_down(seen.app, counts)
    erase(seen.app, seen.app.me(), "ann")
    assert seen.counts() == {("gpt-4o", "ann"): 1}


def test_what_is_counted_while_it_is_removed_is_not_lost(seen: Seen) -> None:
    seen.note("ann")
    (before,) = seen.app.store.shadow.list()
    seen.note("ann")
    assert not seen.app.store.shadow.remove(before), "it was counted again"
    (now,) = seen.app.store.shadow.list()
    assert seen.app.store.shadow.remove(now)
    assert not seen.app.store.shadow.remove(replace(now))
    seen.note("ann")
    assert seen.counts() == {("gpt-4o", "ann"): 1}


@pytest.mark.requirement("GOV-08")
def test_two_processes_that_see_a_thing_first_both_count(seen: Seen) -> None:
    with open_app(seen.app.settings, seen.clock) as other:
        first = threading.Barrier(2)

        def process(app: App) -> None:
            counts = ShadowCounts(seen.clock)
            for number in range(30):
                for _ in range(10):
                    counts.note(Wanted("key", f"k{number}", "", "main"))
            first.wait()
            write_down(app, counts)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(process, (seen.app, other)))
    assert seen.counts() == {(f"k{number}", ""): 20 for number in range(30)}


def spied(name: str, real: Callable[..., Any], looked: list[str]) -> Callable[..., Any]:
    """The same, noted."""

    def call(*arguments: Any, **named: Any) -> Any:
        looked.append(name)
        return real(*arguments, **named)

    return call


@pytest.mark.requirement("GOV-08")
def test_where_there_is_no_room_the_rest_counts_together_and_rows_are_looked_at_once(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_use, "_MOST_ROWS", 5)
    looked: list[str] = []
    store = seen.app.store.shadow
    for name in ("ids", "list", "count"):
        monkeypatch.setattr(store, name, spied(name, getattr(store, name), looked))

    def show(keys: range) -> list[str]:
        counts = ShadowCounts(seen.clock)
        for number in keys:
            counts.note(Wanted("key", f"k{number}", "", "main"))
        looked.clear()
        write_down(seen.app, counts)
        return list(looked)

    assert show(range(4)).count("ids") == 1
    asked = show(range(100))
    assert (asked.count("ids"), asked.count("list"), asked.count("count")) == (1, 0, 6)
    assert show(range(100, 200)).count("count") == 1
    twice = {(f"k{number}", ""): 2 for number in range(4)}
    assert seen.counts() == twice | {("k4", ""): 1, (OTHERS, OTHERS): 195}
    seen.log.write_text("".join(line(f"user{number}") for number in range(9)))
    seen.read()
    hosts = {(one.what, one.who): one.n for one in store.list(subject="host")}
    assert (len(hosts), hosts[OTHERS, OTHERS], sum(hosts.values())) == (6, 4, 9)


@pytest.mark.requirement("GOV-08")
def test_what_was_not_written_is_counted_on(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ShadowCounts(seen.clock)
    for who in ("ann", "bob", "eve"):
        counts.note(Wanted("model", "gpt-4o", who, "main"))
    real, left = seen.app.store.shadow.count, [1]

    def count(record: ShadowUse) -> ShadowUse:
        if not left:
            raise Unavailable("The database is away.")
        left.pop()
        return real(record)

    with monkeypatch.context() as patched:
        patched.setattr(seen.app.store.shadow, "count", count)
        with pytest.raises(Unavailable):
            write_down(seen.app, counts)
    assert len(seen.counts()) == 1
    write_down(seen.app, counts)
    assert seen.counts() == {("gpt-4o", who): 1 for who in ("ann", "bob", "eve")}


@pytest.mark.requirement("GOV-08")
def test_what_is_ours_is_left_out_also_of_a_log_that_was_read_without_saying_so(seen: Seen) -> None:
    seen.log.write_text(line("gateway") + line("ann"))
    seen.note("gateway")
    me = seen.app.me()
    assert import_log(seen.app, me, seen.log).is_new
    again = import_log(seen.app, me, seen.log, ours=["gateway"])
    assert not again.is_new
    assert again.log.n == 2
    everybody = [("api.openai.com", "ann"), ("api.openai.com", "gateway"), ("gpt-4o", "gateway")]
    for ours, shown in (((), everybody), (["gateway"], [everybody[0], everybody[2]])):
        found = report(seen.app, me, ours=ours).found
        assert sorted((one.seen.what, one.seen.who) for one in found) == shown
