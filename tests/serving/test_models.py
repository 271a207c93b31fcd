from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from headrace.core.errors import Unavailable
from headrace.serving.models import RETRY_S, LoadedModels
from headrace.testing.clock import FakeClock
from tests.serving.scene import Shelf, StubModel


def _models(*release_ids: str) -> tuple[LoadedModels, Shelf, FakeClock]:
    shelf = Shelf({name: StubModel() for name in release_ids})
    clock = FakeClock()
    return LoadedModels(shelf.load, clock), shelf, clock


def test_a_model_is_loaded_once_however_many_ask() -> None:
    models, shelf, _ = _models("r1")
    together = threading.Barrier(8)

    def ask() -> object:
        together.wait(10)
        return models.get("r1")

    with ThreadPoolExecutor(8) as pool:
        found = {id(future.result()) for future in [pool.submit(ask) for _ in range(8)]}
    assert len(found) == 1
    assert shelf.loaded == ["r1"]


def test_one_model_that_loads_slowly_delays_no_other() -> None:
    models, shelf, _ = _models("slow", "quick")
    release, reached = threading.Event(), threading.Event()

    def wait() -> None:
        if shelf.loaded[-1] == "slow":
            reached.set()
            release.wait(10)

    shelf.before = wait
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(models.get, "slow")
        assert reached.wait(10)
        assert models.get("quick").release_id == "quick"
        assert models.find("slow") is None
        release.set()
        assert slow.result(10).release_id == "slow"


def test_only_what_routes_name_is_kept() -> None:
    models, shelf, _ = _models("r1", "r2", "r3")
    models.keep({"r1", "r2"})
    assert sorted(shelf.loaded) == ["r1", "r2"]
    models.keep({"r2", "r3"})
    assert models.find("r1") is None
    assert models.find("r2") is not None
    assert models.find("r3") is not None


def test_a_damaged_package_is_named_and_tried_again_later() -> None:
    models, shelf, clock = _models()
    for _ in range(3):
        with pytest.raises(
            Unavailable, match="release r1 cannot be loaded .The package is damaged.*rollback"
        ):
            models.get("r1")
    assert shelf.loaded == ["r1"]
    shelf.models["r1"] = StubModel()
    clock.advance(RETRY_S)
    assert models.get("r1").release_id == "r1"


def test_a_damaged_package_does_not_keep_others_from_loading() -> None:
    models, _, _ = _models("r2")
    models.keep(["r1", "r2"])
    assert models.find("r2") is not None


def test_the_version_is_the_release_id_unless_somebody_knows_better() -> None:
    shelf = Shelf({"r1": StubModel()})
    assert LoadedModels(shelf.load, FakeClock()).get("r1").version == "r1"
    assert LoadedModels(shelf.load, FakeClock(), version_of=lambda _: "7").get("r1").version == "7"


def test_categories_that_training_never_saw_are_named() -> None:
    loaded = _models("r1")[0].get("r1")
    assert loaded.unseen_in_row([1.0, "a3", True]) is None
    assert loaded.unseen_in_row([1.0, " a3 ", None]) is None
    assert loaded.unseen_in_row([float("nan"), None, False]) is None
    assert loaded.unseen_in_row([1.0, "quattro", True]) == ["model"]
    columns = {
        "mileage": np.array([1.0, 2.0]),
        "model": np.array(["a4", "tt"], dtype=object),
        "leased": np.array([None, True], dtype=object),
    }
    assert loaded.unseen(columns) == ["model"]
