"""The feature store: what training has read of each version of a feature set, and how it was distributed.

Everything is an artefact, named by its content: training twice on the same rows keeps one profile, and
whoever asks for the baseline of a version gets the one that its models have learnt from, or an error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.checks.profiles import Profile
from headrace.core.canonical import canonical_json
from headrace.core.data import Artifact, Snapshot
from headrace.core.errors import InternalError
from headrace.core.ports import ArtifactStore, Columns
from headrace.data.features import FeatureSet
from headrace.data.frames import n_rows
from headrace.store.documents import from_plain

MATERIALISED = "application/vnd.headrace.features+json"
PROFILE = "application/vnd.headrace.profile+json"


@dataclass(frozen=True, kw_only=True)
class FeatureVersion:
    """A version of a feature set that was trained on.

    Attributes:
        ref: name and version, such as ``flights/weather@0f3c5ab19d27``.
        kept: the artefact with what was read of it.
    """

    ref: str
    kept: Artifact


@dataclass(frozen=True, kw_only=True)
class Materialised:
    """Rows of one version of a feature set that models were trained on.

    Attributes:
        feature_set: as it was declared then.
        snapshot_id, snapshot_digest: of the table that training has read.
        n_rows: training rows among them.
        until: newest time among these rows; None without a time column.
        profile: artefact with the distribution of each column over these rows.
    """

    feature_set: FeatureSet
    snapshot_id: str
    snapshot_digest: str
    n_rows: int
    until: datetime | None
    profile: Artifact


class FeatureStore:
    """Materialised feature sets in an artefact store.

    Example::

        read = FeatureStore(store.artifacts).materialise(sets, rows, snapshot, until=None)
        FeatureStore(store.artifacts).baseline(read).features["wind"]
    """

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts

    def materialise(
        self, sets: Sequence[FeatureSet], rows: Columns, snapshot: Snapshot, *, until: datetime | None
    ) -> tuple[FeatureVersion, ...]:
        """Keep what is trained on of each set; the same rows of the same version are kept once.

        Args:
            rows: the training rows of ``snapshot``, with all columns of the sets.

        Raises:
            InvalidInput: a column is missing, or a numeric one holds text.
        """
        return tuple(self._kept(one, rows, snapshot, until) for one in sets if one.columns)

    def get(self, version: FeatureVersion) -> Materialised:
        """What was read of this very version.

        Raises:
            NotFound: it is not kept here.
            InternalError: what is kept there is of another version.
        """
        found = from_plain(Materialised, json.loads(self._artifacts.get(version.kept.digest)))
        if found.feature_set.ref != version.ref:
            raise InternalError(
                f"The feature store was asked for {version.ref} and has {found.feature_set.ref} under "
                f"{version.kept.digest[:12]}. Something changed what must not change: restore a backup."
            )
        return found

    def baseline(self, versions: Sequence[FeatureVersion]) -> Profile:
        """How all columns of these versions were distributed over the rows that were trained on.

        Raises:
            NotFound: one is not kept here.
            InternalError: what is kept of one is of another version.
        """
        profiles = (self._profile(self.get(one)) for one in versions)
        return Profile(features={name: one for profile in profiles for name, one in profile.features.items()})

    def _kept(
        self, one: FeatureSet, rows: Columns, snapshot: Snapshot, until: datetime | None
    ) -> FeatureVersion:
        profile = Profile.fit({column.name: rows[column.name] for column in one.columns}, one.columns)
        made = Materialised(
            feature_set=one,
            snapshot_id=snapshot.id,
            snapshot_digest=snapshot.digest,
            n_rows=n_rows(rows),
            until=until,
            profile=self._artifacts.put(canonical_json(profile.to_dict()), PROFILE),
        )
        return FeatureVersion(ref=one.ref, kept=self._artifacts.put(canonical_json(made), MATERIALISED))

    def _profile(self, found: Materialised) -> Profile:
        return Profile.from_dict(json.loads(self._artifacts.get(found.profile.digest)))
