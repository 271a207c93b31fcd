"""Who may make tokens and read them back."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.app.privacy.tokenising import restore, tokenise
from headrace.core.errors import Denied, NotFound
from headrace.testing import FakeClock, make_project, make_settings

TEXT = "ada@example.org ordered"


@pytest.mark.requirement("PRV-01")
def test_reading_tokens_needs_the_right_to_read_data_and_is_audited(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        me = app.me()
        app.store.projects.save(make_project(), "")
        viewer = app.identities.add("vera", ["viewer"], actor=me.name)
        made = tokenise(app, me, "cars", TEXT)
        assert made.startswith("<EMAIL:")
        assert restore(app, me, "cars", made) == TEXT
        entry = app.store.audit.list()[-1]
        assert (entry.action, entry.resource) == ("data.restore", "project:cars")
        for act in (tokenise, restore):
            with pytest.raises(Denied, match="data.read"):
                act(app, viewer, "cars", made)
        with pytest.raises((NotFound, Denied)):
            restore(app, me, "nothing", made)
