from __future__ import annotations

from pathlib import Path

import pytest

from headrace.core.errors import NotFound, Unavailable
from headrace.web.pages.rendering import PLOTLY, Assets


def test_plotlys_script_is_served_from_its_package_without_importing_it() -> None:
    assets = Assets()
    assert assets.plotly.startswith(b"/**\n* plotly.js")
    assert all(len(name) == 64 for name in assets.plotly_styles())
    assert len(assets.answer(PLOTLY).body) == len(assets.plotly)


def test_without_plotlys_script_the_pages_stand_and_the_script_says_what_to_do(tmp_path: Path) -> None:
    assets = Assets(tmp_path / "missing.js")
    assert assets.plotly_styles() == []
    with pytest.raises(Unavailable, match="pip install"):
        assets.answer(PLOTLY)


def test_an_address_changes_with_the_content_and_nothing_else_is_served() -> None:
    assets = Assets()
    address = assets.address("headrace.css")
    assert address.startswith("/static/headrace.css?v=")
    assert address != assets.address("plots.css").replace("plots", "headrace")
    with pytest.raises(NotFound):
        assets.answer("../server.py")
