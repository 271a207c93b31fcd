"""What is deployed, as its servers say, and where that is not what the charter declares."""

from __future__ import annotations

import ipaddress
import json
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from headrace.app.composition import App
from headrace.core.identity import Expiring
from headrace.core.project import Project
from headrace.core.settings import Settings
from headrace.projects.deployment import Deployed, Difference, differences

_SERVER = "server"
_KIND = "server_facts"
_KEPT = timedelta(days=400)
_CLUSTER = "KUBERNETES_SERVICE_HOST"
"""Kubernetes sets it in every container."""


def note_server(app: App, executor_id: str, address: str) -> None:
    """Say how the server is deployed that this process, registered as ``executor_id``, belongs to."""
    facts = {
        "target": _target(app.settings, address),
        "database": "sqlite" if app.settings.database_url.startswith("sqlite") else "postgres",
        "server": f"{platform.node()} {address}",
    }
    kept = Expiring(kind=_KIND, key=executor_id, value=json.dumps(facts), ends_at=app.clock.now() + _KEPT)
    app.store.expiring.change(_KIND, executor_id, lambda _: kept)


def deployed(app: App) -> Deployed | None:
    """The servers of this home that are up; None if there is none."""
    noted = [app.store.expiring.find(_KIND, name) for name, _ in app.store.executors.living(_SERVER)]
    facts = [json.loads(one.value) for one in noted if one is not None]
    if not facts:
        return None
    servers = Counter(one["server"] for one in facts)
    return Deployed(
        # The newest counts: the others are on their way out, or they are alike.
        target=facts[0]["target"],
        database=facts[0]["database"],
        processes=tuple(servers.values()),
    )


def plan_differences(app: App, projects: Sequence[Project]) -> dict[str, list[Difference]]:
    """By project, where the servers that are up, and the way of its live release, are not as declared.

    Projects of which nothing differs are left out.
    """
    found, live = deployed(app), {route.project: route.live for route in app.store.rollouts.routes()}
    wanted = [live[one.name] for one in projects if one.name in live]
    rollouts = {one.release_id: one for one in app.store.rollouts.some(wanted)}
    differs = {one.name: differences(one, found, rollouts.get(live.get(one.name, ""))) for one in projects}
    return {name: some for name, some in differs.items() if some}


def _target(settings: Settings, address: str) -> str:
    if settings.environment.get(_CLUSTER):
        return "kubernetes"
    hosts = [urlsplit(one).hostname or "" for one in (address, settings.url)]
    return "laptop" if all(map(_is_this_machine, hosts)) else "server"


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
