"""Images of a model elsewhere: watched by their light, while the record has none of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.app.elsewhere.attaching import Foreign, attach_model
from headrace.app.elsewhere.log_import import import_log
from headrace.app.operations import watch_now
from headrace.app.overviews import reading
from headrace.checks.images import MEASURES
from headrace.store.records import decode_prediction
from tests.app.elsewhere.test_attaching import TIMED, as_csv, log_of
from tests.app.small import Site, cars
from tests.monitoring.test_images import photos

PICTURED = (
    "    - {name: guess, role: numeric}",
    "    - {name: guess, role: numeric}\n    - {name: photo, role: image}",
)


@pytest.mark.requirement("MON-13")
@pytest.mark.parametrize("light", [0.6, 1.0])
def test_photographs_that_get_dark_are_found_and_others_are_not(shared: Site, light: float) -> None:
    app, random = shared.app, np.random.default_rng(0)

    def pictured(rows: dict[str, list[Any]], light: float = 1.0) -> dict[str, list[Any]]:
        return rows | {"photo": photos(random, len(rows["listed"]), light=light)}

    name = f"pictured-{light:g}".replace(".", "-")
    rows = pictured(cars(60)) | {"day": ["2026-01-01"] * 60}
    small = shared.project(name, *TIMED, PICTURED, rows=rows)
    folder = small.folder.parent
    reference = as_csv(folder / f"{name}-reference.csv", pictured(log_of(600, seed=1)))
    attach_model(app, small.me, small.folder, Foreign(version="v7", reference=reference, statement="theirs"))
    log = as_csv(folder / f"{name}-days.csv", pictured(log_of(800, seed=2), light))
    import_log(app, small.me, name, log, version="v7")
    (segment,) = app.store.events.segments(f"{name}/predictions")
    (record,), _ = app.store.events.read(f"{name}/predictions", segment.name, 0, 1)
    assert decode_prediction(record).columns["photo"][0].startswith('{"format":"png",')
    watch_now(app, shared.work, small.me, name)
    found = {f.feature: f.kind for f in reading.findings(app, small.me, name)}
    assert found.get("photo: brightness") == ("data_drift" if light < 1 else None)
    assert not {"photo: width", "photo: height", "photo: format"} & set(found)


def test_a_model_that_is_built_here_may_be_sent_images(shared: Site) -> None:
    """It leaves them alone, and they are watched."""
    rows = cars(200)
    rows["photo"] = photos(np.random.default_rng(3), 200)
    small = shared.project("sent-photos", PICTURED, rows=rows)
    release = small.released()
    assert small.runs()["better"] == "finished"
    assert release.state == "live"
    texts = shared.app.scorers.baseline(release.id).texts
    assert set(texts["photo"].measures.features) == set(MEASURES)
