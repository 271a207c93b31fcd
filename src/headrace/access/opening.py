"""Everything about rights, connected over one store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.access.abnormal import Limits
from headrace.access.activity import Activity
from headrace.access.credentials import Secrets
from headrace.access.gatekeeper import Gatekeeper
from headrace.access.grants import Grants
from headrace.access.identities import Identities
from headrace.access.incidents import Incidents
from headrace.access.keys import Keys
from headrace.access.links import Links
from headrace.access.privacy.charters import Charters
from headrace.access.privacy.data_keys import ProjectKeys
from headrace.access.privacy.fields import dropped
from headrace.access.privacy.keys import WorkspaceKeys
from headrace.access.privacy.projects import Privacy
from headrace.access.privacy.redacting import Recogniser
from headrace.access.refresh import RefreshTokens
from headrace.access.resources import Resources
from headrace.access.revocations import Revocations
from headrace.access.second_factors import SecondFactors
from headrace.access.signing import Signatures
from headrace.access.signins import SignIns
from headrace.access.tokens import Tokens
from headrace.access.tries import Tries
from headrace.access.uses import Uses
from headrace.access.vault import Vault
from headrace.access.workloads import Workloads
from headrace.core.ports import Clock, Policy
from headrace.store import Store

_USUAL = Limits()
_NONE: Mapping[str, Callable[[], Recogniser]] = {}


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who is known, how they prove it, what they may, and what they did with it."""

    identities: Identities
    keys: Keys
    revocations: Revocations
    tokens: Tokens
    secrets: Secrets
    refreshing: RefreshTokens
    workloads: Workloads
    resources: Resources
    grants: Grants
    uses: Uses
    activity: Activity
    factors: SecondFactors
    links: Links
    signins: SignIns
    incidents: Incidents
    gatekeeper: Gatekeeper
    charters: Charters
    privacy: Privacy
    data_keys: ProjectKeys
    vault: Vault
    signatures: Signatures


def open_access(
    store: Store,
    keys: Path,
    clock: Clock,
    policy: Policy,
    limits: Limits = _USUAL,
    recognisers: Mapping[str, Callable[[], Recogniser]] = _NONE,
    *,
    measure: Callable[[Any], Any] = dropped,
) -> Access:
    """Connect the parts; nothing is read or written yet.

    Args:
        keys: folder of the signing keys and the workspaces' secrets.
        limits: from when on something is out of the ordinary.
        recognisers: makes those that come from plug-ins, by name.
        measure: what is recorded of an image in its place; nothing, unless given.

    Example::

        access = open_access(store, home / "keys", clock, CedarPolicy())
        access.gatekeeper.require(principal, "predict", "project:cars")
    """
    identities = Identities(store.principals, store.audit, store.epoch, clock)
    signing = Keys(keys, store.epoch, clock)
    revocations = Revocations(store.credentials, store.epoch, clock)
    tokens = Tokens(signing, revocations, store.epoch, clock)
    resources = _resources(store, clock)
    grants = Grants(store.grants, store.epoch, clock)
    uses = Uses(store.uses, clock)
    activity = Activity(uses, store.uses, store.sightings, clock, limits)
    incidents = Incidents(store.incidents, store.audit, clock)
    vault = Vault(keys)
    factors = SecondFactors(store.credentials, incidents, store.expiring, store.epoch, vault, clock)
    charters = Charters(store.projects, store.releases, store.rollouts)
    hashes = WorkspaceKeys(keys)
    privacy = Privacy(store.projects, charters, hashes, store.epoch, clock, recognisers, measure=measure)
    gatekeeper = Gatekeeper(
        identities=identities,
        tokens=tokens,
        policy=policy,
        resources=resources,
        grants=grants,
        uses=uses,
        activity=activity,
        factors=factors,
        audit=store.audit,
        epoch=store.epoch,
        clock=clock,
    )
    return Access(
        identities=identities,
        keys=signing,
        revocations=revocations,
        tokens=tokens,
        secrets=Secrets(store.credentials, incidents, revocations, Tries(store.expiring, clock), clock),
        refreshing=RefreshTokens(store.credentials, incidents, revocations, clock),
        workloads=Workloads(store.credentials, clock),
        resources=resources,
        grants=grants,
        uses=uses,
        activity=activity,
        factors=factors,
        incidents=incidents,
        links=Links(store.credentials, clock),
        signins=SignIns(store.expiring, vault, clock),
        gatekeeper=gatekeeper,
        signatures=Signatures(keys),
        data_keys=_data_keys(keys, store, charters, clock),
        vault=vault,
        charters=charters,
        privacy=privacy,
    )


def _data_keys(keys: Path, store: Store, charters: Charters, clock: Clock) -> ProjectKeys:
    edition = store.projects.edition
    return ProjectKeys(keys, store.storage, charters.in_force, store.epoch, clock, edition=edition)


def _resources(store: Store, clock: Clock) -> Resources:
    return Resources(
        projects=store.projects,
        releases=store.releases,
        principals=store.principals,
        grants=store.grants,
        policies=store.policies,
        incidents=store.incidents,
        waivers=store.waivers,
        drafts=store.drafts,
        handoffs=store.handoffs,
        epoch=store.epoch,
        clock=clock,
    )
