"""One subject is taken out of everything that is kept, whenever the process dies, and proof stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from headrace.access.privacy.charters import terms_of
from headrace.app.composition import App, open_app
from headrace.app.erasure_marks import MARKS, ErasureMarks
from headrace.app.llm import traces
from headrace.app.privacy.erasing import Erasure
from headrace.app.privacy.retaining import delete_old, retain
from headrace.core.data import Snapshot
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.project import Column, DataSpec, Handling, PrivacySpec
from headrace.core.record import Feedback, Outcome, Prediction
from headrace.data.snapshots import archive_columns, load_snapshot, take_snapshot
from headrace.monitoring.ingest import ingest
from headrace.monitoring.otlp import read_batch
from headrace.monitoring.spans import Wanted
from headrace.store import Store
from headrace.store.records import (
    decode_feedback,
    decode_outcome,
    decode_prediction,
    encode_feedback,
    encode_outcome,
    encode_prediction,
)
from headrace.testing import (
    START,
    FakeClock,
    make_feedback,
    make_manifest,
    make_model,
    make_outcome,
    make_prediction,
    make_project,
    make_release,
    make_route,
    make_run,
    make_settings,
)
from headrace.training.pipeline import PROBE_ROWS
from headrace.training.rebuild import rebuild_run
from tests.app.erased import REASON, Directly, erase, erasures_of

JANE, BOB = "47110815", "47120815"
STREAMS: dict[str, Callable[[bytes], Prediction | Outcome | Feedback]] = {
    "people/predictions": decode_prediction,
    "people/shadows": decode_prediction,
    "people/embeddings": decode_prediction,
    "people/outcomes": decode_outcome,
    "people/feedback": decode_feedback,
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A home in which Jane and Bob are everywhere."""

    app: App
    home: Path
    clock: FakeClock

    @property
    def me(self) -> Principal:
        return self.app.me()

    def answered(self, *keys: str, at: Any = START, **changes: Any) -> Prediction:
        """An answer of one row for each key, logged as the server logs it."""
        n = len(keys)
        columns, outputs = {"age": [41.5] * n, "person": list(keys)}, {"predict": [1.0] * n}
        asked = make_prediction(
            id=new_id(at), n_rows=n, keys=list(keys), at=at, columns=columns, outputs=outputs, **changes
        )
        made = self.app.access.privacy.rules("people").prediction(asked)
        self.app.store.events.append("people/predictions", [encode_prediction(made)])
        return made

    def shadowed(self, answered: Prediction) -> None:
        """What a shadow said to the same request."""
        said = replace(answered, arm="shadow", release_id="on-trial")
        self.app.store.events.append("people/shadows", [encode_prediction(said)])

    def told(self, subject: str, at: Any = START) -> None:
        """A label and a purchase, under the key that answers have."""
        under = {
            "id": new_id(at),
            "project": "people",
            "at": at,
            "subject": self.app.access.privacy.rules("people").subject(subject),
        }
        self.app.store.events.append("people/outcomes", [encode_outcome(make_outcome(**under))])
        self.app.store.events.append("people/feedback", [encode_feedback(make_feedback(**under))])

    def snapshot(self, *people: float) -> Snapshot:
        """A snapshot of these people, and its raw original."""
        store = self.app.store
        columns = {"person": np.array(people), "bought": np.arange(len(people)) * 1.0}
        return take_snapshot(
            project="people", columns=columns, raw=archive_columns(columns, store.artifacts), source="p.csv",
            privacy=PrivacySpec(basis="consent"), tables=store.tables, snapshots=store.snapshots,
            clock=self.clock,
        )  # fmt: skip

    def ingest(self) -> None:
        ingest("people", self.app.store.events, self.app.store.tables, numeric=frozenset({"age"}))

    def erase(self, key: str = JANE, **changes: Any) -> Erasure:
        return erase(self.app, self.me, key, **changes)

    def records(self) -> list[Prediction | Outcome | Feedback]:
        """Everything in the event log."""
        events = self.app.store.events
        return [
            decode(record)
            for stream, decode in STREAMS.items()
            for segment in events.segments(stream)
            for record in events.read(stream, segment.name, 0, 1000)[0]
        ]  # fmt: skip

    def rows(self, table: str) -> list[str]:
        found = self.app.store.tables.query("SELECT * FROM t", {"t": (f"people/{table}", None)})
        return sorted(map(str, found["subject" if table in ("outcomes", "feedback") else "key"]))

    def on_disk(self, text: str) -> list[str]:
        """Files of the store that hold ``text``, compressed columns aside."""
        return [
            path.name
            for folder in ("events", "tables", "artifacts")
            for path in (self.home / folder).rglob("*")
            if path.is_file() and text.encode() in path.read_bytes()
        ]


@pytest.fixture(params=["hash", "keep", "encrypted"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    clock = FakeClock()
    with open_app(make_settings(tmp_path), clock) as app:
        app.me()
        columns = (Column(name="age", role="numeric"), Column(name="person", role="categorical"))
        encrypted = request.param == "encrypted"
        handling: Handling = "hash" if request.param == "hash" else "keep"
        project = make_project(
            name="people",
            data=DataSpec(source="people.csv", target="bought", key="person", columns=columns),
            privacy=PrivacySpec(
                basis="consent", fields={"person": handling}, retention_days=30, encrypt=encrypted
            ),
        )
        app.store.projects.save(project, str(tmp_path))
        yield Kept(app=app, home=tmp_path, clock=clock)


def fill(kept: Kept) -> Prediction:
    """Jane alone, Jane and Bob in one request, Bob alone; labels by key and by row id."""
    kept.answered(JANE)
    both = kept.answered(BOB, JANE)
    kept.answered(BOB)
    kept.ingest()
    for subject in (JANE, BOB, f"{both.id}:0", f"{both.id}:1"):
        kept.told(subject)
    return both


def gone(kept: Kept, both: Prediction) -> None:
    """Nothing of Jane is left, and everything of Bob is."""
    rules = kept.app.access.privacy.rules("people")
    jane, bob = rules.subject(JANE), rules.subject(BOB)
    assert kept.rows("predictions") == [bob, bob]
    assert kept.rows("outcomes") == kept.rows("feedback") == sorted([bob, f"{both.id}:0"])
    answers = [r for r in kept.records() if isinstance(r, Prediction)]
    assert [a.keys for a in answers] == [[bob, ""], [bob]]
    assert answers[0].columns["age"] == [41.5, None]
    assert answers[0].outputs == {"predict": [1.0, None]}
    assert kept.on_disk(jane) == []
    assert kept.on_disk(JANE) == []


@pytest.mark.requirement("PRV-02")
def test_one_subject_is_removed_everywhere_and_the_others_stay(kept: Kept) -> None:
    both = fill(kept)
    done = kept.erase()
    gone(kept, both)
    assert (done.events, done.rows) == (6, 6)
    kept.ingest()
    assert len(kept.rows("predictions")) == 2, "nothing comes back"
    again = kept.erase()
    assert (again.events, again.rows, again.snapshots) == (0, 0, [])


@pytest.mark.requirement("PRV-02")
def test_a_key_column_that_is_declared_no_more_is_searched_while_its_release_answers(kept: Kept) -> None:
    store = kept.app.store
    project = store.projects.get("people")
    live = make_release(manifest=make_manifest(project="people", terms=terms_of(project)))
    store.releases.add(live)
    store.rollouts.set_route(make_route(project="people", live=live.id))
    store.projects.save(replace(project, data=replace(project.data, key=None)), str(kept.home))
    store.epoch.advance()
    kept.answered(JANE, BOB)
    kept.snapshot(float(JANE), float(BOB))
    # As from before callers named the keys of their rows.
    store.events.rewrite(
        "people/predictions", lambda one: encode_prediction(replace(decode_prediction(one), keys=None))
    )
    kept.ingest()
    done = kept.erase()
    assert (done.events, done.rows) == (1, 1)
    assert [affected.rows for affected in done.snapshots] == [1]
    assert len(done.archives) == 1
    assert done.not_searched == []


@pytest.mark.requirement("PRV-02")
def test_what_became_vectors_is_removed_too(kept: Kept) -> None:
    kept.app.store.events.append("people/embeddings", [encode_prediction(kept.answered(BOB, JANE))])
    kept.ingest()
    assert len(kept.rows("embeddings")) == 2
    kept.erase()
    bob = kept.app.access.privacy.rules("people").subject(BOB)
    assert kept.rows("embeddings") == [bob]
    assert kept.on_disk(JANE) == []


@pytest.mark.requirement("PRV-02")
def test_what_a_shadow_said_is_removed_too(kept: Kept) -> None:
    both = kept.answered(BOB, JANE)
    for made in (both, kept.answered(JANE)):
        kept.shadowed(made)
    kept.ingest()
    assert len(kept.rows("shadows")) == 3
    kept.erase()
    bob = kept.app.access.privacy.rules("people").subject(BOB)
    assert kept.rows("shadows") == kept.rows("predictions") == [bob]
    assert [r.keys for r in kept.records() if isinstance(r, Prediction)] == [[bob, ""], [bob, ""]]
    assert kept.on_disk(JANE) == []
    marks = ErasureMarks(kept.app.settings.home / MARKS)
    assert marks.last_s("people") == kept.app.clock.now().timestamp(), "copies of before are told"
    assert marks.last_s("cars") == 0.0


@pytest.mark.requirement("PRV-02")
def test_whole_traces_that_name_the_subject_are_removed(kept: Kept) -> None:
    for number, user in enumerate((JANE, BOB)):
        resource = {"attributes": [{"key": "headrace.project", "value": {"stringValue": "people"}}]}
        first = {"traceId": f"{number:031x}1", "spanId": "0" * 15 + "1", "name": "ask"}
        named = first | {"attributes": [{"key": "user.id", "value": {"stringValue": user}}]}
        spans = [named, first | {"spanId": "0" * 15 + "2", "name": f"tell {number}"}]
        body = msgspec.json.encode(
            {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
        )
        records = traces.take(kept.app, kept.me, read_batch(body, "json"))
        kept.app.store.events.append("people/spans", records["people"])
    kept.ingest()
    done = kept.erase()
    assert (done.events, done.rows) == (2, 2)
    (left,) = traces.search(kept.app, kept.me, "people", Wanted())
    assert (left.n_spans, left.user) == (2, kept.app.access.privacy.rules("people").subject(BOB))
    assert kept.on_disk(JANE) == []


@pytest.mark.requirement("PRV-02")
def test_the_audit_log_has_the_proof_and_not_the_key(kept: Kept) -> None:
    fill(kept)
    done = kept.erase(reason=f"{JANE} wrote from jane@example.org")
    begun, ended = kept.app.store.audit.list()[-2:]
    assert (begun.action, ended.action) == ("data.erase", "data.erased")
    assert begun.detail["subject"] == ended.detail["subject"] == done.subject
    assert begun.detail["reason"] == "<subject> wrote from <EMAIL>"
    assert begun.detail["found"] == {"answers": 2, "outcomes": 2, "feedback": 2, "snapshots": []}
    assert begun.detail["erasure"] == ended.detail["erasure"] == done.id
    assert (ended.detail["events"], ended.detail["rows"]) == (6, 6)
    assert JANE not in str(kept.app.store.audit.list())
    assert kept.app.store.audit.verify()


@pytest.mark.requirement("PRV-02")
def test_a_snapshot_loses_the_subject_and_says_so(kept: Kept) -> None:
    old, new = kept.snapshot(47110815.0, 47120815.0), kept.snapshot(47120815.0, 47130815.0, 47110815.0)
    other = kept.snapshot(47120815.0)
    store = kept.app.store
    probes, elsewhere = (store.artifacts.put(name, "text/plain") for name in (b"of new", b"of other"))
    run = make_run(project="people", snapshot_id=new.id, outputs={PROBE_ROWS: probes})
    store.runs.save(run)
    store.runs.save(make_run(project="people", snapshot_id=other.id, outputs={PROBE_ROWS: elsewhere}))
    model = store.models.add(make_model(project="people", run_id=run.id))
    done = kept.erase()
    assert [(one.snapshot, one.rows) for one in done.snapshots] == [(old.id, 1), (new.id, 1)]
    assert done.snapshots[1].models == [f"people@{model.version}"]
    assert done.archives == [old.raw.digest, new.raw.digest]
    assert not store.artifacts.has(probes.digest), "rows made from the subject's are gone too"
    assert store.artifacts.has(elsewhere.digest)
    left = [
        load_snapshot(store.snapshots.get(s.id), store.tables)["person"].tolist() for s in (old, new, other)
    ]
    assert left == [[47120815.0], [47120815.0, 47130815.0], [47120815.0]]
    assert store.snapshots.get(new.id).n_erased == 1
    with pytest.raises(Conflict, match="1 of the 3 rows of its snapshot"):
        rebuild_run(run, store, kept.home / "scratch")
    assert kept.erase().snapshots == []


@pytest.mark.requirement("PRV-02")
def test_raw_originals_are_listed_and_deleted_on_demand(kept: Kept) -> None:
    snapshot = kept.snapshot(47110815.0)
    assert kept.erase().archives == [snapshot.raw.digest]
    assert kept.app.store.artifacts.has(snapshot.raw.digest)
    done = kept.erase(raw=True)
    assert (done.archives, done.archives_removed) == ([snapshot.raw.digest], True)
    assert not kept.app.store.artifacts.has(snapshot.raw.digest)
    assert kept.erase(raw=True).archives == []


class Killed(BaseException):
    """What a kill -9 looks like from the inside: nothing after it happens."""


def dying(port: Any, names: tuple[str, ...], survives: list[int]) -> Any:
    """``port`` whose calls of ``names`` work; after the one that uses up ``survives`` the process is gone."""

    class Dying:
        def __getattr__(self, name: str) -> Any:
            found = getattr(port, name)
            return _counted(found) if name in names else found

    def _counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            survives[0] -= 1
            if survives[0] < 0:
                raise Killed
            return result

        return counted

    return Dying()


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("kept", ["hash"], indirect=True)
def test_killed_after_any_write_it_is_finished_by_whoever_goes_on(kept: Kept) -> None:
    """The worst case: no step was recorded, and the process dies after each of its writes in turn."""
    both = fill(kept)
    snapshots = [kept.snapshot(47110815.0, 47120815.0), kept.snapshot(47120815.0, 47110815.0)]
    for survives in range(40):
        left = [survives]
        store: Store = replace(
            kept.app.store,
            events=dying(kept.app.store.events, ("rewrite",), left),
            tables=dying(kept.app.store.tables, ("remove", "forget", "replace", "append"), left),
            snapshots=dying(kept.app.store.snapshots, ("erase",), left),
        )
        try:
            app = replace(kept.app, store=store)
            erase(app, kept.me, JANE) if survives == 0 else erasures_of(app).resume()
        except Killed:
            assert len(list((kept.home / "erasing").iterdir())) == 1
            assert JANE.encode() not in b"".join(p.read_bytes() for p in (kept.home / "erasing").iterdir())
            continue
        break
    else:
        pytest.fail("it never came to its end")
    assert survives > 3, "it was killed at several places"
    gone(kept, both)
    for snapshot in snapshots:
        present = kept.app.store.snapshots.get(snapshot.id)
        assert load_snapshot(present, kept.app.store.tables)["person"].tolist() == [47120815.0]
    begun, ended = (e for e in kept.app.store.audit.list() if e.action.startswith("data.erase"))
    assert begun.detail["found"]["answers"] == 2
    assert begun.detail["erasure"] == ended.detail["erasure"]
    assert list((kept.home / "erasing").iterdir()) == [], "the sealed key is destroyed"
    assert erasures_of(kept.app).resume() == 0


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("kept", ["hash"], indirect=True)
def test_killed_before_the_proof_was_written_the_snapshots_are_in_it(kept: Kept) -> None:
    fill(kept)
    snapshot = kept.snapshot(47110815.0, 47120815.0)

    class Stops(Directly):
        def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            if name == "prove":
                raise Killed
            recorded[name] = super().step(name, function, *arguments)
            return recorded[name]

    class GoesOn(Directly):
        def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            return recorded[name] if name in recorded else super().step(name, function, *arguments)

    recorded: dict[str, Any] = {}
    with pytest.raises(Killed):
        erasures_of(kept.app, Stops()).order(kept.me, "people", JANE, reason=REASON)
    later = erasures_of(kept.app, GoesOn())
    assert later.resume() == 1
    proof = kept.app.store.audit.list()[-1]
    assert proof.action == "data.erased"
    assert proof.detail["snapshots"] == [{"snapshot": snapshot.id, "rows": 1, "models": []}]
    assert proof.detail["events"] == 6


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("kept", ["hash"], indirect=True)
def test_one_that_failed_is_tried_again_and_ordering_it_again_joins_it(kept: Kept) -> None:
    both = fill(kept)
    asking = [True]
    rewrite = kept.app.store.events.rewrite

    class Asked:
        def __getattr__(self, name: str) -> Any:
            return self.again if name == "rewrite" and asking[0] else getattr(kept.app.store.events, name)

        def again(self, stream: str, change: Callable[[bytes], bytes | None]) -> int:
            done = rewrite(stream, change)
            kept.answered(JANE)
            return done

    store: Store = replace(kept.app.store, events=Asked())
    erasures = erasures_of(replace(kept.app, store=store))
    ordered = erasures.order(kept.me, "people", JANE, reason=REASON)
    with pytest.raises(Conflict, match="keep arriving at 'people'"):
        erasures.result(ordered)
    asking[0] = False
    assert erasures.order(kept.me, "people", JANE, reason="again") == ordered
    assert erasures.result(ordered).subject
    gone(kept, both)
    assert list((kept.home / "erasing").iterdir()) == []


@pytest.mark.parametrize("kept", ["hash"], indirect=True)
def test_who_may_not_erase_erases_nothing(kept: Kept) -> None:
    fill(kept)
    somebody = kept.app.identities.add("dev", ["developer", "operator"], actor="ada")
    with pytest.raises(Denied, match="data.erase"):
        erase(kept.app, somebody, JANE)
    with pytest.raises(Denied, match="data.erase"):
        retain(kept.app, somebody, "people")
    for key, reason in ((" ", REASON), (JANE, "")):
        with pytest.raises(InvalidInput, match="a subject and a reason"):
            kept.erase(key, reason=reason)
    assert len(kept.rows("predictions")) == 4


@pytest.mark.requirement("PRV-02")
@pytest.mark.parametrize("kept", ["keep", "encrypted"], indirect=True)
def test_what_is_older_than_allowed_is_deleted_everywhere(kept: Kept) -> None:
    kept.shadowed(kept.answered("aged"))
    kept.told("aged")
    kept.clock.advance(timedelta(days=20).total_seconds())
    kept.answered("young", at=kept.clock.now())
    kept.told("young", at=kept.clock.now())
    assert delete_old(kept.app, "people").events == 0
    n_entries = len(kept.app.store.audit.list())
    kept.clock.advance(timedelta(days=11).total_seconds())
    done = retain(kept.app, kept.me, "people")
    assert (done.events, done.rows) == (4, 4)
    assert kept.rows("predictions") == kept.rows("outcomes") == kept.rows("feedback") == ["young"]
    assert kept.rows("shadows") == []
    assert len(kept.records()) == 3
    assert kept.on_disk("aged") == []
    (entry,) = kept.app.store.audit.list()[n_entries:]
    assert (entry.action, entry.detail["events"], entry.detail["rows"]) == ("data.retain", 4, 4)
    assert delete_old(kept.app, "people").events == 0
    assert len(kept.app.store.audit.list()) == n_entries + 1, "nothing happened, nothing to tell"
