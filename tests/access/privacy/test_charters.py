"""A declaration tightens the rules of what is live at once, and loosens none before it is approved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.charters import Charters, terms_of, tightest
from headrace.access.privacy.fields import FieldRules, masked
from headrace.access.privacy.recognisers import mask
from headrace.core.canonical import digest_of, plain
from headrace.core.project import Basis, Column, DataSpec, Handling, PrivacySpec, Project, ServingSpec
from headrace.core.release import Release, Route
from headrace.testing import make_manifest, make_prediction, make_project, make_release

TEXT, MEMBER = "Call Ada at ada@example.org", "m-1"
SHOWS: dict[str, set[str]] = {
    "keep": {"what is recognised", "the rest", "the shape", "what is equal", "measures"},
    "redact": {"the rest", "the shape", "what is equal"},
    "measure": {"measures"},
    "mask": {"the shape"},
    "hash": {"what is equal"},
    "drop": set(),
}


def people(
    *,
    basis: Basis | None = "consent",
    durability: Any = "stored",
    city: Handling | None = None,
    member: Handling | None = None,
    key: str | None = "member",
    **privacy: Any,
) -> Project:
    """A project with an input ``city`` and a business key."""
    fields = {name: one for name, one in (("city", city), (key or "key", member)) if one is not None}
    return make_project(
        name="people",
        data=DataSpec(
            source="p.csv", target="bought", key=key, columns=(Column(name="city", role="categorical"),)
        ),
        privacy=PrivacySpec(basis=basis, fields=fields, **privacy),
        serving=ServingSpec(durability=durability),
    )


@dataclass
class Kept:
    """Implements what is read of the three stores."""

    declared: Project
    route_: Route | None = None

    def __post_init__(self) -> None:
        self.releases: dict[str, Release] = {}

    def get(self, name: str) -> Any:
        return self.declared if name == self.declared.name else self.releases[name]

    def route(self, _: str) -> Route | None:
        return self.route_

    @property
    def charters(self) -> Charters:
        return Charters(self, self, self)  # type: ignore[arg-type]

    def answer(self, project: Project, canary: Project | None = None) -> None:
        """Let a release of ``project`` be live, with another one on trial."""
        ids = []
        for one in (project, canary):
            if one is not None:
                manifest = make_manifest(project=one.name, terms=terms_of(one))
                release = make_release(manifest=manifest)
                self.releases[release.id] = release
                ids.append(release.id)
        self.route_ = Route(project="people", live=ids[0], canary=ids[1] if len(ids) > 1 else None)


@pytest.mark.requirement("PRV-01", "PRV-02")
def test_before_anything_is_live_what_is_declared_holds() -> None:
    declared = people(city="keep", retention_days=9, encrypt=False, durability="best_effort")
    kept = Kept(declared)
    assert kept.charters.in_force("people") == declared
    assert kept.charters.waiting(declared) == []


@pytest.mark.requirement("PRV-01", "PRV-02")
def test_a_loosening_waits_and_is_named_and_a_tightening_holds_at_once() -> None:
    kept = Kept(people(city="hash", member="drop", retention_days=30))
    kept.answer(kept.declared)
    loose = people(
        basis="not_personal", city="keep", member="keep", retention_days=90, durability="best_effort"
    )
    kept.declared = loose
    held = kept.charters.in_force("people")
    assert (held.privacy.basis, held.privacy.encrypted, held.privacy.retention_days) == ("consent", True, 30)
    assert held.privacy.fields == {"city": "hash", "member": "drop"}
    assert held.serving.durability == "stored"
    assert [str(one) for one in kept.charters.waiting(loose)] == [
        "privacy.basis: declared not_personal, consent holds",
        "privacy.retention_days: declared 90, 30 holds",
        "privacy.encrypt: declared false, true holds",
        "serving.durability: declared best_effort, stored holds",
        "privacy.fields.city: declared keep, hash holds",
        "privacy.fields.member: declared keep, drop holds",
    ]
    waiting = make_release(manifest=make_manifest(project="people", terms=terms_of(loose)))
    assert kept.charters.loosened_by(waiting) == kept.charters.waiting(loose)

    kept.answer(loose)
    assert kept.charters.in_force("people").privacy.fields["city"] == "keep"
    assert kept.charters.in_force("people").serving.durability == "best_effort"
    assert kept.charters.loosened_by(waiting) == []
    tight = people(city="drop", member="hash", retention_days=1, recognisers=("builtin", "presidio"))
    kept.declared = tight
    held = kept.charters.in_force("people")
    assert (held.privacy.encrypted, held.privacy.retention_days) == (True, 1)
    assert held.privacy.fields["city"] == "drop"
    assert FieldRules(held, b"key").prediction(make_prediction(keys=[MEMBER])).keys != [MEMBER]
    assert held.privacy.recognisers == ("builtin", "presidio")
    assert held.serving.durability == "stored"
    assert kept.charters.waiting(tight) == []


@pytest.mark.requirement("PRV-01")
def test_an_input_or_key_that_is_declared_no_more_is_kept_as_the_live_release_keeps_it() -> None:
    kept = Kept(people(city="drop", member="hash"))
    kept.answer(kept.declared)
    kept.declared = replace(
        people(basis="not_personal", key=None), data=DataSpec(source="p.csv", target="bought")
    )
    held = kept.charters.in_force("people")
    recorded = FieldRules(held, b"key").prediction(make_prediction(columns={"city": [TEXT]}, keys=[MEMBER]))
    assert recorded.columns == {}
    assert recorded.keys not in ([MEMBER], None), "under its new name the key is hashed like the old one"


@pytest.mark.requirement("PRV-01")
def test_where_the_live_rule_and_the_declared_one_show_different_things_nothing_is_written() -> None:
    assert tightest("mask", "hash") == tightest("hash", "mask") == "drop"
    kept = Kept(people(city="mask"))
    kept.answer(kept.declared)
    kept.declared = people(city="hash")
    assert kept.charters.in_force("people").privacy.fields["city"] == "drop"
    assert [str(w) for w in kept.charters.waiting(kept.declared)] == [
        "privacy.fields.city: declared hash, drop holds"
    ]


@pytest.mark.requirement("GOV-10")
def test_releases_from_before_terms_keep_their_digest() -> None:
    old = make_manifest()
    assert "terms" not in plain(old)
    assert plain(make_manifest(terms=terms_of(people())))["terms"]["keys"] == "hash"
    assert digest_of(replace(old, terms=terms_of(people()))) != digest_of(old)
    kept = Kept(people(city="keep"))
    kept.answer(kept.declared)
    (release,) = kept.releases.values()
    kept.releases[release.id] = replace(release, manifest=replace(release.manifest, terms=None))
    kept.declared = people(city="drop")
    assert kept.charters.in_force("people") == kept.declared
    assert kept.charters.loosened_by(kept.releases[release.id]) == []


def test_a_release_that_refuses_without_record_is_not_loosened_by_a_declaration() -> None:
    kept = Kept(people())
    kept.answer(kept.declared)
    kept.declared = replace(kept.declared, serving=ServingSpec(on_record_failure="serve"))
    assert kept.charters.in_force("people").serving.on_record_failure == "refuse"
    waits = [f"{one.rule}: {one.declared}, {one.holds} holds" for one in kept.charters.waiting(kept.declared)]
    assert waits == ["serving.on_record_failure: serve, refuse holds"]
    kept.answer(kept.declared)
    assert kept.charters.in_force("people").serving.on_record_failure == "serve"


handlings: st.SearchStrategy[Any] = st.none() | st.sampled_from(get_args(Handling))
projects = st.builds(
    people,
    basis=st.sampled_from((*get_args(Basis), None)),
    durability=st.sampled_from(("stored", "best_effort")),
    city=handlings,
    member=st.sampled_from((None, "keep", "hash", "drop")),
    key=st.sampled_from(("member", "customer", None)),
    retention_days=st.integers(1, 400),
    encrypt=st.sampled_from((None, True, False)),
)
steps = st.lists(st.tuples(st.sampled_from(("declare", "try", "promote", "roll back")), projects), max_size=8)


def written(project: Project) -> tuple[str, str]:
    """How the text and the business key are written, seen from what is written."""
    rules = FieldRules(project, b"key", measure=lambda _: "measured")
    recorded = rules.prediction(make_prediction(columns={"city": [TEXT]}, keys=[MEMBER]))
    forms = {
        "measured": "measure",
        TEXT: "keep",
        mask(TEXT): "redact",
        masked(TEXT): "mask",
        rules.hashed(TEXT): "hash",
    }
    city = forms[recorded.columns["city"][0]] if "city" in recorded.columns else "drop"
    keys = {MEMBER: "keep", rules.hashed(MEMBER): "hash"}
    return city, "drop" if recorded.keys is None else keys[recorded.keys[0]]


@pytest.mark.requirement("PRV-01", "PRV-02")
@given(steps)
def test_what_is_written_shows_what_live_and_declared_both_allow_and_nothing_else(
    taken: list[tuple[str, Project]],
) -> None:
    kept = Kept(people())
    live: list[Project] = []
    tried: Project | None = None
    for step, project in taken:
        if step == "declare":
            kept.declared = project
        elif step == "try" and live:
            tried = kept.declared
        elif step == "promote":
            live.append(tried or kept.declared)
            tried = None
        elif step == "roll back":
            live, tried = (live[:-1] if tried is None and len(live) > 1 else live), None
        if live:
            kept.answer(live[-1], tried)
        answering = [kept.declared, *live[-1:], *([tried] if tried else [])]
        held = kept.charters.in_force("people")
        city, key = written(held)
        cities, keys = zip(*map(written, answering), strict=True)
        assert SHOWS[city] == set.intersection(*(SHOWS[one] for one in cities))
        assert SHOWS[key] <= set.intersection(*(SHOWS[one] for one in keys))
        # Under a name that nobody has approved, a key may be kept with more care than any of them asks for.
        if len({one.data.key for one in answering}) == 1:
            assert SHOWS[key] == set.intersection(*(SHOWS[one] for one in keys))
        assert held.privacy.encrypted == any(one.privacy.encrypted for one in answering)
        assert held.privacy.personal == any(one.privacy.personal for one in answering)
        assert held.privacy.retention_days == min(one.privacy.retention_days for one in answering)
        stored = any(one.serving.durability == "stored" for one in answering)
        assert held.serving.durability == ("stored" if stored else "best_effort")
        assert bool(kept.charters.waiting(kept.declared)) <= bool(live)
