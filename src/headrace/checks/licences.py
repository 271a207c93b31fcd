"""Which licence a package has, and whether it may be used."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any, Literal

Judged = Literal["allowed", "denied", "not_allowed", "unknown"]


def judge_licence(licence: str, allow: Collection[str], deny: Collection[str]) -> Judged:
    """Whether what stands under ``licence`` may be used; letters' case does not matter.

    Of ``A OR B`` one has to be allowed, of ``A AND B`` both. What is denied stays so if allowed, too;
    with nothing in ``allow`` all that is not denied may be used. Words that are joined by ``; `` are parts of
    which each has to be allowed, unless ``allow`` has them as they stand.

    Args:
        licence: an SPDX expression, or words; empty where the package says nothing.

    >>> judge_licence("MIT OR GPL-3.0-only", [], ["gpl-3.0-only"])
    'allowed'
    >>> judge_licence("MIT AND GPL-3.0-only", [], ["GPL-3.0-only"])
    'denied'
    >>> judge_licence("Zlib", ["MIT"], [])
    'not_allowed'
    """
    if not licence.strip():
        return "unknown"
    denied, allowed = {one.lower() for one in deny}, {one.lower() for one in allow}
    whole, parts = _parsed(licence), [_parsed(part) for part in licence.split("; ") if part.strip()]
    if not all(_holds(tree, lambda name: name not in denied) for tree in (whole, *parts)):
        return "denied"
    if allowed and not any(
        all(_holds(tree, lambda name: name in allowed) for tree in trees) for trees in ([whole], parts)
    ):
        return "not_allowed"
    return "allowed"


@lru_cache(maxsize=1_000)  # every build asks of the same packages
def _parsed(licence: str) -> Any:
    from license_expression import ExpressionError, ExpressionParseError, Licensing

    try:
        return Licensing().parse(licence)
    except (ExpressionError, ExpressionParseError):
        # Words, such as "BSD, see LICENSE": they stand for themselves.
        return licence


def _holds(tree: Any, fits: Any) -> bool:
    if isinstance(tree, str):
        return bool(fits(tree.lower()))
    operator, parts = getattr(tree, "operator", None), getattr(tree, "args", ())
    if operator is not None and operator.strip() == "OR":
        return any(_holds(part, fits) for part in parts)
    if operator is not None and operator.strip() == "AND":
        return all(_holds(part, fits) for part in parts)
    return bool(fits(str(tree).lower()))
