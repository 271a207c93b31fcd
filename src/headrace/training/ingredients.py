"""The packages that a model was made with, and their bill of materials in the CycloneDX format."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from typing import Any
from uuid import UUID

from headrace.core.canonical import canonical_json
from headrace.core.ids import derived_id

MEDIA_TYPE = "application/vnd.cyclonedx+json"
_LONGEST_LICENCE = 80
_BY_CLASSIFIER = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
}
"""SPDX's name of what older packages say by a classifier; of "BSD", which names no version, the usual one."""


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """One package; ``licence`` is an SPDX expression or words, empty where it says none."""

    name: str
    version: str
    licence: str = ""


def ingredients(lock: bytes) -> list[Ingredient]:
    """The packages of an environment's lock, by name, with the licences that are stated here.

    A package that is not installed here in that version has none: nobody can say what it stated.
    """
    here, locked = _licences(), json.loads(lock)["packages"]
    return [
        Ingredient(name=name, version=version, licence=here.get((name, version), ""))
        for name, version in sorted(locked.items())
    ]


def bill_of_materials(subject: str, listed: list[Ingredient], at: datetime) -> bytes:
    """A bill in CycloneDX 1.6, JSON; the same model and packages always give the same bytes.

    Args:
        subject: the model, such as ``cars@3``.
        at: when the model was made.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    name, _, version = subject.partition("@")
    model = Component(
        name=name, version=version, type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref=f"model:{subject}"
    )
    digest = derived_id("bill", subject, *(f"{one.name}=={one.version}" for one in listed))
    bill = Bom(serial_number=UUID(digest))
    bill.metadata.component, bill.metadata.timestamp = model, at
    document: dict[str, Any] = json.loads(JsonV1Dot6(bill).output_as_string())
    if packages := _packages(tuple(listed)):
        references = sorted(one["bom-ref"] for one in packages)
        uses = {"ref": f"model:{subject}", "dependsOn": references}
        document |= {"components": packages, "dependencies": [uses, *({"ref": one} for one in references)]}
    return canonical_json(document)


@lru_cache(maxsize=4)
def _packages(listed: tuple[Ingredient, ...]) -> list[dict[str, Any]]:
    """The components of a bill: they take long to write, and are the same for every model made here."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    licences = LicenseFactory()
    parts = []
    for one in listed:
        url = PackageURL("pypi", None, one.name, one.version)
        stated = [licences.make_from_string(one.licence)] if one.licence else []
        parts.append(
            Component(
                name=one.name,
                version=one.version,
                type=ComponentType.LIBRARY,
                purl=url,
                bom_ref=url.to_string(),
                licenses=stated,
            )
        )
    written = json.loads(JsonV1Dot6(Bom(components=parts)).output_as_string())
    found: list[dict[str, Any]] = written.get("components", [])
    return found


@lru_cache(maxsize=1)
def _licences() -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for one in distributions():
        name = _field(one, "Name")
        if name:
            key = (re.sub(r"[-_.]+", "-", name).lower(), one.version)
            found.setdefault(key, _licence_of(one))
    return found


def _licence_of(distribution: Distribution) -> str:
    stated = _field(distribution, "License-Expression")
    if stated:
        return stated
    classifiers = [str(one) for one in distribution.metadata.get_all("Classifier") or []]
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    known = [_BY_CLASSIFIER.get(one, one) for one in named if one != "OSI Approved"]
    if known:
        return " AND ".join(known) if all(" " not in one for one in known) else "; ".join(known)
    words = (_field(distribution, "License") or "").strip()
    return (
        words if words.upper() != "UNKNOWN" and len(words) <= _LONGEST_LICENCE and "\n" not in words else ""
    )


def _field(distribution: Distribution, name: str) -> str | None:
    """A field of the metadata; some readers raise where another says None, so that it is looked for first."""
    metadata = distribution.metadata
    return str(metadata[name]) if name in metadata else None
