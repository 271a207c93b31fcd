"""What every principal store promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.errors import NotFound
from headrace.core.ports import PrincipalStore
from headrace.testing.factories import make_principal


class PrincipalStoreSuite:
    """Fixture ``principals``: an empty store."""

    def test_an_identity_comes_back(self, principals: PrincipalStore) -> None:
        ada = make_principal(name="ada", roles=("developer", "operator"))
        principals.save(ada)
        assert principals.get("ada") == principals.find("ada") == ada

    def test_saving_again_replaces_the_roles_only(self, principals: PrincipalStore) -> None:
        ada = make_principal(name="ada", kind="person", roles=("developer",))
        principals.save(ada)
        principals.save(make_principal(name="ada", kind="agent", roles=("viewer",)))
        assert principals.get("ada") == replace(ada, roles=("viewer",))
        assert len(principals.list()) == 1

    def test_identities_are_listed_oldest_first(self, principals: PrincipalStore) -> None:
        assert principals.list() == []
        for name in ("zoe", "ada", "mia"):
            principals.save(make_principal(name=name))
        principals.save(make_principal(name="zoe", roles=()))
        assert [principal.name for principal in principals.list()] == ["zoe", "ada", "mia"]

    def test_an_absent_identity_is_not_found(self, principals: PrincipalStore) -> None:
        assert principals.find("absent") is None
        with pytest.raises(NotFound, match="absent"):
            principals.get("absent")
