"""Very large inputs are written in compressed form, and stay a record: readable, replayable, erasable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from headrace.app.business.backtesting import backtest
from headrace.app.privacy.erasures import Erasures
from headrace.core.record import Prediction
from headrace.monitoring.ingest import ingest
from headrace.store.compressing import MARK, decompress
from headrace.store.records import decode_prediction, encode_prediction
from headrace.web.server import build_server
from tests.app.small import AUTHOR, INPUTS, Small, cars
from tests.app.small import site as small_site
from tests.web.memory_client import MemoryClient, in_memory

N_ROWS = 400
SERVING = ("gates:\n", "serving: {compress_above_bytes: 4096}\ngates:\n")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A server with one live project that declares when an input is very large."""

    project: Small
    client: MemoryClient

    def predict(self, n_rows: int, seed: int = 5) -> dict[str, Any]:
        rows = cars(n_rows, seed=seed)
        body = {"columns": {name: rows[name] for name in INPUTS}, "keys": [str(key) for key in rows["car"]]}
        answer = self.post("/api/v1/predict/large", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, **more: Any) -> httpx.Response:
        app = self.project.app
        headers = {"authorization": f"Bearer {app.tokens.issue(app.identities.resolve(AUTHOR))}"}
        return self.client.request("POST", path, headers=headers, **more)

    def logged(self) -> dict[str, bytes]:
        """What is in the log, by the answer's id."""
        events = self.project.app.store.events
        return {
            decode_prediction(record).id: record
            for segment in events.segments("large/predictions")
            for record in events.read("large/predictions", segment.name, 0, 1 << 20)[0]
        }

    @property
    def erasures(self) -> Erasures:
        return self.project.work.erasures


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with small_site(tmp_path_factory.mktemp("compressed")) as made:
        project = made.project("large", SERVING)
        assert project.released().state == "live"
        server = build_server(made.app, made.work)
        with in_memory(server) as client:
            yield Asked(project=project, client=client)


@pytest.mark.requirement("MON-25")
def test_inputs_beyond_the_declared_size_are_compressed_and_others_are_not(asked: Asked) -> None:
    large, small = asked.predict(N_ROWS), asked.predict(2)
    kept = asked.logged()
    assert kept[large["id"]][0] == MARK
    assert kept[small["id"]][0] != MARK
    raw = decompress(kept[large["id"]]).record
    assert len(kept[large["id"]]) < len(raw) * 0.7
    found = decode_prediction(kept[large["id"]])
    assert encode_prediction(found) == raw
    rows = cars(N_ROWS, seed=5)
    assert found.columns == {name: rows[name] for name in INPUTS}
    assert found.outputs["predict"] == [row["predict"] for row in large["predictions"]]


@pytest.mark.requirement("MON-25")
def test_a_compressed_answer_is_replayed_like_any_other(asked: Asked) -> None:
    answer = asked.predict(N_ROWS, seed=6)
    assert asked.logged()[answer["id"]][0] == MARK
    app, now = asked.project.app, asked.project.app.clock.now()
    ends = now + timedelta(days=1)
    again = backtest(app, asked.project.me, "large", 1, now - timedelta(days=1), ends)
    assert again.n_rows >= N_ROWS
    assert again.n_changed == 0


@pytest.mark.requirement("MON-25")
def test_one_subject_is_erased_from_a_compressed_answer_and_the_others_stay(asked: Asked) -> None:
    answer = asked.predict(N_ROWS, seed=7)
    before = asked.logged()[answer["id"]]
    key = str(cars(N_ROWS, seed=7)["car"][3])
    asked.erasures.result(asked.erasures.order(asked.project.me, "large", key, reason="by letter"))
    after = asked.logged()[answer["id"]]
    assert len(after) <= len(before)
    was, left = decode_prediction(before), decode_prediction(after)
    assert _of_rows(left, 3) == dict.fromkeys(INPUTS)
    for row in (0, 2, 4, N_ROWS - 1):
        assert _of_rows(left, row) == _of_rows(was, row)
    store = asked.project.app.store
    ingest("large", store.events, store.tables, numeric=frozenset())
    sql = "SELECT count(*) AS n FROM t WHERE prediction_id = ?"
    found = store.tables.query(sql, {"t": ("large/predictions", None)}, [answer["id"]])
    assert int(found["n"][0]) == N_ROWS - 1


def _of_rows(prediction: Prediction, row: int) -> dict[str, Any]:
    return {name: values[row] for name, values in prediction.columns.items()}
