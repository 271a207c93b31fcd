"""What every principal store promises."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import Principal
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

    def test_the_edition_tells_whether_anybody_has_changed(self, principals: PrincipalStore) -> None:
        empty, ada = principals.edition(), make_principal(name="ada", roles=("developer",))
        principals.save(ada)
        added = principals.edition()
        assert principals.edition() == added != empty
        principals.save(replace(ada, roles=("viewer",)))
        assert principals.edition() not in (added, empty)

    def test_an_absent_identity_is_not_found(self, principals: PrincipalStore) -> None:
        assert principals.find("absent") is None
        with pytest.raises(NotFound, match="absent"):
            principals.get("absent")

    def test_a_guard_sees_what_stands_and_may_refuse(self, principals: PrincipalStore) -> None:
        ada, mia = make_principal(name="ada"), make_principal(name="mia")
        principals.save(mia)
        seen: list[tuple[Principal | None, Sequence[Principal]]] = []
        principals.save(ada, lambda standing, everybody: seen.append((standing, everybody)))
        principals.save(ada, lambda standing, everybody: seen.append((standing, everybody)))
        assert seen == [(None, [mia]), (ada, [mia, ada])]

        def refuse(standing: Principal | None, everybody: Sequence[Principal]) -> None:
            raise Conflict("no")

        with pytest.raises(Conflict, match="no"):
            principals.save(replace(ada, roles=()), refuse)
        assert principals.get("ada") == ada

    def test_of_changes_at_the_same_instant_each_guard_sees_those_before(
        self, principals: PrincipalStore
    ) -> None:
        names = [f"p{number}" for number in range(8)]
        for name in names:
            principals.save(make_principal(name=name, roles=("admin",)))

        def strip(name: str) -> bool:
            def keep_one(standing: Principal | None, everybody: Sequence[Principal]) -> None:
                if not any("admin" in other.roles for other in everybody if other.name != name):
                    raise Conflict("the last one")

            try:
                principals.save(make_principal(name=name, roles=("viewer",)), keep_one)
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(strip, names)) == [False] + [True] * 7
