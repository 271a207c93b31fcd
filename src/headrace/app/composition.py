"""Settings become an App: the one place that names concrete classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType

from headrace.access.abnormal import KINDS, Limits
from headrace.access.gatekeeper import Gatekeeper
from headrace.access.identities import Identities
from headrace.access.key_ring import KeyRing
from headrace.access.oidc import Provider
from headrace.access.opening import Access, open_access
from headrace.access.policies import Policies
from headrace.access.privacy.charters import Charters
from headrace.access.privacy.data_keys import ProjectKeys
from headrace.access.privacy.logs import cleaned, mask_logs
from headrace.access.seals import Seals
from headrace.access.tokens import Tokens
from headrace.app.channels import open_channels
from headrace.checks.images import measure_image
from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ports import Channel, Clock, Queue, Tracker
from headrace.core.project import ServingSpec
from headrace.core.settings import Settings
from headrace.monitoring.baseline import Baseline
from headrace.plugins.kafka import KafkaQueue
from headrace.plugins.mlflow import MlflowTracker
from headrace.plugins.presidio import presidio
from headrace.plugins.rabbitmq import RabbitQueue
from headrace.releases.signed import SignedReleases
from headrace.serving.callbacks import Callbacks
from headrace.store import Store, open_store
from headrace.store.line_files import LineFiles
from headrace.store.payloads import Payloads
from headrace.store.seal_file import SealFile
from headrace.training.features import FeatureStore
from headrace.training.isolated import Isolation
from headrace.training.package import PackageScorer, load_scorer

_LOADED = 32
CALLBACKS = "callbacks"
"""What the key signs by which receivers know us."""


@dataclass(frozen=True, kw_only=True)
class App:
    """Everything that a command, a page or a job needs, connected.

    Use it as a context manager, or call :meth:`close`.
    """

    settings: Settings
    clock: Clock
    store: Store
    access: Access
    policies: Policies
    tracker: Tracker
    signed: SignedReleases
    scorers: Scorers
    seals: Seals
    queue: Queue
    payloads: Payloads
    line_files: LineFiles
    callbacks: Callbacks
    channels: Mapping[str, Channel] = field(default_factory=dict)
    provider: Provider | None = None

    @property
    def identities(self) -> Identities:
        """Who is known."""
        return self.access.identities

    @property
    def tokens(self) -> Tokens:
        """Bearer tokens."""
        return self.access.tokens

    @property
    def gatekeeper(self) -> Gatekeeper:
        """Who may do what."""
        return self.access.gatekeeper

    def me(self) -> Principal:
        """The identity that commands run as; the first one in an empty home is made known."""
        return self.identities.ensure_first(self.settings.user)

    def close(self) -> None:
        """Write what is only counted so far, and release files and connections."""
        try:
            self.access.uses.flush()
        finally:
            self.queue.close()
            self.store.close()

    def __enter__(self) -> App:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Scorers:
    """Loaded packages and baselines by release, each loaded once, and verified when it is."""

    def __init__(self, store: Store, signed: SignedReleases) -> None:
        self._store = store
        self._signed = signed
        self._verified = lru_cache(maxsize=_LOADED)(self._verify)
        self._package = lru_cache(maxsize=_LOADED)(self._load)
        self.baseline = lru_cache(maxsize=_LOADED)(self._baseline)

    def of_release(self, release_id: str) -> PackageScorer:
        """The scorer of a release's package.

        Raises:
            Conflict: the release or its package is not what was signed.
            InvalidInput: the model answers elsewhere, and nothing of it is here but a statement.
        """
        return self._package(*self._verified(release_id))

    def of_package(self, digest: str) -> PackageScorer:
        """The scorer of a package by its digest."""
        return self._package(digest, Isolation())

    def _verify(self, release_id: str) -> tuple[str, Isolation]:
        release = self._store.releases.get(release_id)
        if release.state == "external":
            raise InvalidInput(
                f"{release.manifest.subject.ref} answers elsewhere: its model is not here, so that it can "
                "be watched, but neither asked nor explained. Name a version that was built here."
            )
        self._signed.package(release)
        terms = release.manifest.terms
        isolation = Isolation() if terms is None else _isolation(terms.serving)
        return release.manifest.subject.package.digest, isolation

    def _load(self, digest: str, isolation: Isolation) -> PackageScorer:
        return load_scorer(self._store.artifacts.path(digest), isolation)

    def _baseline(self, release_id: str) -> Baseline:
        digest = self._store.releases.get(release_id).manifest.baseline.digest
        return Baseline.from_bytes(self._store.artifacts.get(digest), FeatureStore(self._store.artifacts))


def _isolation(spec: ServingSpec) -> Isolation:
    """As it was approved with the release."""
    return Isolation(processes=spec.concurrency, timeout_s=spec.timeout_s, waiting=spec.queue)


def open_app(settings: Settings, clock: Clock | None = None) -> App:
    """Open everything under ``settings``.

    Raises:
        InvalidInput: the home cannot be used; the message says what to change.

    Example::

        with open_app(read_settings()) as app:
            app.store.projects.list()
    """
    unknown = sorted(settings.freeze_on - set(KINDS))
    if unknown:
        raise InvalidInput(
            f"HEADRACE_FREEZE_ON names {', '.join(unknown)}. Expected some of {', '.join(KINDS)}."
        )
    clock = clock or SystemClock()
    mask_logs()
    keys = settings.home / "keys"
    store = open_store(
        settings,
        clock,
        clean=cleaned,
        keys=lambda projects, releases, rollouts, epoch: ProjectKeys(
            keys,
            settings.storage_path,
            Charters(projects, releases, rollouts).in_force,
            epoch,
            clock,
            edition=projects.edition,
        ),
    )
    policies = Policies(store.policies, store.incidents, store.epoch, clock)
    limits = Limits(spend_per_hour=settings.spend_per_hour)
    access = open_access(store, keys, clock, policies, limits, {"presidio": presidio}, measure=measure_image)
    ring = KeyRing(keys, CALLBACKS)
    signed = SignedReleases(store, access.signatures, access.incidents)
    return App(
        settings=settings,
        clock=clock,
        store=store,
        access=access,
        policies=policies,
        tracker=MlflowTracker(settings.mlflow_url, store.projects.workspace),
        signed=signed,
        scorers=Scorers(store, signed),
        seals=Seals(
            store.audit,
            store.seals,
            SealFile(settings.seals_path or settings.home / "audit"),
            KeyRing(settings.home / "keys", "seals"),
            clock,
        ),
        queue=_queue(settings, store, clock),
        payloads=Payloads(access.data_keys),
        line_files=LineFiles(store.storage / "llm_files", access.data_keys),
        callbacks=Callbacks(ring, clock, hosts=settings.callback_hosts, private=settings.callback_private),
        channels=open_channels(settings, ring, clock),
        provider=None if settings.provider is None else Provider(settings.provider, clock),
    )


def _queue(settings: Settings, store: Store, clock: Clock) -> Queue:
    """The team's broker where there is one; otherwise the built-in queue."""
    if not settings.broker_url:
        return store.queue

    def workspaces() -> list[str]:
        return sorted({store.projects.workspace(project.name) for project in store.projects.list()})

    if settings.broker_url.startswith("kafka"):
        return KafkaQueue(settings.broker_url, workspaces, clock)
    return RabbitQueue(settings.broker_url, workspaces)
