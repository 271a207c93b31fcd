"""What a live service writes down, while its project is declared, approved and rolled back around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from headrace.app.answers.serving import serving_of
from headrace.app.operations import decide, declare, roll_back
from headrace.app.overviews.reading import release_report
from headrace.app.privacy.encrypting import encrypt
from headrace.app.privacy.retaining import delete_old
from headrace.core.record import Prediction
from headrace.serving.recorder import BEST_EFFORT, STORED
from headrace.store.records import decode_prediction
from tests.app.small import INPUTS, VALIDATOR, Site, Small, cars

ROW = {name: values[:1] for name, values in cars(1).items() if name in INPUTS}
TIGHT = "privacy: {basis: contract, retention_days: 30, fields: {diesel: hash, year: drop, car: hash}}"
LOOSE = (
    "privacy: {basis: not_personal, retention_days: 365, fields: {listed: drop}}\n"
    "serving: {durability: best_effort}"
)


@pytest.fixture
def small(shared: Site, request: pytest.FixtureRequest) -> Small:
    return shared.project("kept", ("privacy: {basis: not_personal}", TIGHT))


@pytest.fixture
def ask(small: Small) -> Iterator[Callable[[], tuple[Prediction, bytes]]]:
    """Asks the live service; returns the answer as it is in the record, and how it was said to be."""
    serving = serving_of(small.app)

    async def asked() -> tuple[Prediction, bytes]:
        serving.routes.refresh()
        answer = await serving.handler.predict(small.name, ROW, principal=small.me, keys=["c-1"])
        deadline_s = small.app.clock.monotonic_s() + 20
        while not (found := [one for one in records(small) if one.id == answer.id]):
            assert small.app.clock.monotonic_s() < deadline_s
            await asyncio.sleep(0.02)  # at best effort it is written a moment later
        return found[0], serving.handler.recorded(answer)

    yield lambda: asyncio.run(asked())
    serving.shadows.close()
    serving.recorder.close()


def records(small: Small) -> list[Prediction]:
    events, stream = small.app.store.events, f"{small.name}/predictions"
    return [
        decode_prediction(record)
        for segment in events.segments(stream)
        for record in events.read(stream, segment.name, 0, 1000)[0]
    ]


def kept_for_days(small: Small) -> int:
    return round((small.app.clock.now() - delete_old(small.app, small.name).before).total_seconds() / 86_400)


def declared(small: Small, *changes: tuple[str, str]) -> None:
    """Declare the project anew, as ``headrace run`` does before it builds."""
    small.write(*changes)
    declare(small.app, small.me, small.folder)


@pytest.mark.requirement("PRV-01", "PRV-02", "GOV-10")
def test_what_a_developer_declares_loosens_a_live_service_only_once_it_is_approved(
    small: Small, ask: Callable[[], tuple[Prediction, bytes]]
) -> None:
    app = small.app
    first = small.released()
    assert first.state == "live"
    assert first.manifest.terms is not None
    assert first.manifest.terms.privacy.fields["diesel"] == "hash"

    loose = (("privacy: {basis: not_personal}", LOOSE), ("approval: automatic", "approval: manual"))
    second = small.write(*loose).released()
    assert second.state == "waiting"
    loosened = {one.rule for one in release_report(app, small.me, second.id).loosens}
    assert loosened == {
        "privacy.basis",
        "privacy.retention_days",
        "privacy.encrypt",
        "privacy.fields.diesel",
        "privacy.fields.year",
        "privacy.fields.car",
        "serving.durability",
    }
    kept, how = ask()
    assert kept.columns["diesel"] != ROW["diesel"], "the live rule hashes it"
    assert "year" not in kept.columns
    assert "listed" not in kept.columns, "what is declared tighter holds at once"
    assert kept.keys not in (["c-1"], None)
    assert how == STORED
    assert encrypt(app, small.me, small.name).key is not None
    assert kept_for_days(small) == 30

    decide(app, small.work, app.identities.resolve(VALIDATOR), second.id, "approved", "agreed")
    assert small.promoted(second).state == "live"
    kept, how = ask()
    assert kept.columns["diesel"] == ROW["diesel"]
    assert kept.columns["year"] == ROW["year"]
    assert kept.keys == ["c-1"]
    assert how == BEST_EFFORT
    assert encrypt(app, small.me, small.name).key is None
    assert kept_for_days(small) == 365

    declared(
        small, ("privacy: {basis: not_personal}", "privacy: {basis: not_personal, fields: {guess: drop}}")
    )
    roll_back(app, small.work, small.me, small.name)
    kept, how = ask()
    assert kept.columns["diesel"] != ROW["diesel"], "the older release's rules are back"
    assert "guess" not in kept.columns, "except where what is declared is tighter"
    assert "listed" in kept.columns
    assert encrypt(app, small.me, small.name).key is not None
