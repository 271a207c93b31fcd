"""The gate ``ingredients``: what a model is made with, under which licences, and with which known flaws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from headrace.checks.advisories import Found
from headrace.checks.licences import judge_licence
from headrace.core.data import Artifact
from headrace.core.release import Outcome4, Verdict
from headrace.projects.proofs import Ingredients
from headrace.releases.gates import verdict
from headrace.training.ingredients import Ingredient

INGREDIENTS = "ingredients"
_NAMED = 5


def ingredients_gate(
    subject_id: str,
    listed: Sequence[Ingredient],
    found: Found | str | None,
    declared: Ingredients,
    bill: Artifact,
    at: datetime,
) -> Verdict:
    """Licences that are not allowed and known flaws fail; of a package without a licence a person decides.

    Args:
        found: what the advisories say, or why they could not be read, which is an error; None without any.
        bill: the bill of materials, as it is kept.
    """
    judged = {one: judge_licence(one.licence, declared.allow, declared.deny) for one in listed}
    refused = [one for one, what in judged.items() if what in ("denied", "not_allowed")]
    asked = bool(declared.allow or declared.deny)
    silent = [one for one, what in judged.items() if what == "unknown" and asked]
    said: list[tuple[Outcome4, str]] = []
    if refused:
        said.append(
            (
                "failed",
                f"licences that are not allowed: {_named([f'{o.name} ({o.licence})' for o in refused])}",
            )
        )
    if isinstance(found, Found) and found.flaws:
        flaws = [f"{one.package} {one.version}: {one.id}{_mended(one.fixed)}" for one in found.flaws]
        said.append(("failed", f"known flaws: {_named(flaws)}"))
    if isinstance(found, str):
        said.append(("error", found))
    if silent:
        said.append(("inconclusive", f"no licence is stated by {_named([one.name for one in silent])}"))
    outcome: Outcome4 = said[0][0] if said else "passed"
    reason = "; ".join(text for _, text in said) or _all_well(listed, found, asked=asked)
    evidence: dict[str, Any] = {
        "packages": len(listed),
        "bill": bill.digest,
        "allow": list(declared.allow),
        "deny": list(declared.deny),
        "not allowed": [asdict(one) for one in refused],
        "no licence stated": [one.name for one in silent],
        "advisories": None if not isinstance(found, Found) else found.n_advisories,
        "newest advisory": None if not isinstance(found, Found) else found.newest,
        "flaws": [asdict(one) | {"fixed": list(one.fixed)} for one in found.flaws]
        if isinstance(found, Found)
        else [],
    }
    return verdict(subject_id, INGREDIENTS, outcome, reason, evidence=evidence, at=at)


def _all_well(listed: Sequence[Ingredient], found: Found | str | None, *, asked: bool) -> str:
    licences = "all licences are allowed" if asked else "no rule for licences is declared"
    flaws = "no advisories are named"
    if isinstance(found, Found):
        newest = found.newest[:10] or "no date"
        flaws = f"no known flaw in {found.n_advisories:,} advisories, the newest of {newest}"
    return f"{len(listed)} packages; {licences}; {flaws}"


def _mended(fixed: Sequence[str]) -> str:
    return f", fixed in {' and '.join(fixed)}" if fixed else ""


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
