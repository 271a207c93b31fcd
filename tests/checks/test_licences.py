from __future__ import annotations

import pytest

from headrace.checks.licences import judge_licence


@pytest.mark.parametrize(
    ("licence", "allow", "deny", "judged"),
    [
        ("MIT", [], [], "allowed"),
        ("mit", ["MIT"], [], "allowed"),
        ("MIT OR GPL-3.0-only", ["MIT"], [], "allowed"),
        ("MIT AND GPL-3.0-only", ["MIT"], [], "not_allowed"),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", ["MIT", "Apache-2.0"], [], "allowed"),
        ("MIT", ["MIT"], ["MIT"], "denied"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", [], ["GPL-2.0-only"], "allowed"),
        ("BSD, see (LICENSE", [], ["BSD"], "allowed"),
        ("BSD, see (LICENSE", ["BSD"], [], "not_allowed"),
        ("BSD, see (LICENSE", ["bsd, see (license"], [], "allowed"),
        ("Foo Licence", ["Foo Licence"], [], "allowed"),
        ("", ["MIT"], [], "unknown"),
        ("MIT; GNU GPL (any)", [], ["GNU GPL (any)"], "denied"),
        ("GPL-3.0-only; Other/Proprietary License", [], ["GPL-3.0-only"], "denied"),
        ("MIT; GNU GPL (any)", ["MIT"], [], "not_allowed"),
        ("MIT; GNU GPL (any)", ["MIT", "GNU GPL (any)"], [], "allowed"),
        ("BSD; see (LICENSE", ["BSD; see (LICENSE"], [], "allowed"),
        ("BSD; see (LICENSE", ["BSD; see (LICENSE"], ["BSD"], "denied"),
    ],
)
def test_expressions_are_held_against_the_lists(
    licence: str, allow: list[str], deny: list[str], judged: str
) -> None:
    assert judge_licence(licence, allow, deny) == judged
