"""The same way fits one person and a team: roles are split while a release waits, and nothing migrates."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.operations import decide, roll_back
from headrace.app.overviews import reading
from headrace.core.errors import Denied, NotFound
from headrace.core.identity import ROLES
from tests.app.small import AUTHOR, site

LOW = ("approval: automatic", "approval: automatic\nrisk: low")
MANUAL = ("approval: automatic", "approval: manual")


@pytest.mark.requirement("ORG-18")
def test_one_person_with_all_roles_then_a_team_in_the_same_home(tmp_path: Path) -> None:
    with site(tmp_path) as alone:
        app, work = alone.app, alone.work
        ada = app.identities.add(AUTHOR, ROLES, actor=AUTHOR)
        assert set(ada.roles) == set(ROLES)

        alone.project("cars", LOW).released()
        assert reading.project_report(app, ada, "cars").live is not None, "the gates let a low risk through"

        project = alone.project("vans", MANUAL)
        release = project.released()
        assert release.state == "waiting"
        with pytest.raises(Denied, match="own work"):
            decide(app, work, ada, release.id, "approved", "mine, and good")

        app.identities.add("root", ["admin"], actor=AUTHOR)
        app.identities.add(AUTHOR, ["developer"], actor="root")
        app.identities.add("rita", ["validator"], actor=AUTHOR)
        otto = app.identities.add("otto", ["operator"], actor=AUTHOR)
        rita, ada = app.identities.resolve("rita"), app.identities.resolve(AUTHOR)
        assert decide(app, work, rita, release.id, "approved", "read it").state == "live"
        assert app.store.releases.get(release.id).digest == release.digest, "the same release goes on"
        with pytest.raises(Denied, match=r"release\.rollback"):
            roll_back(app, work, ada, "vans")
        with pytest.raises(NotFound, match="no earlier one"):
            roll_back(app, work, otto, "vans")
