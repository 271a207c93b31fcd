"""What guards found, day by day: which rule, where, and what was done; nothing of any text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.identity import Principal
from headrace.gateway.llm.calls import BLOCKED
from headrace.gateway.llm.guard_words import parts_of
from headrace.gateway.llm.guarding import loosened
from headrace.gateway.prompts import MEDIA_TYPE, Prompt
from headrace.monitoring.ingest import predictions_table
from headrace.monitoring.windows import as_utc
from headrace.projects.llm import released_guards_personal

_ASKED = """
    select date_trunc('day', "at") as day, coalesce(out_guards, '') as guards,
           coalesce(out_finish, '') as finish, count(*) as n
    from p where arm <> 'shadow' and "at" >= ? group by all order by all
"""


class Found(NamedTuple):
    """A kind of hit: a rule such as ``personal.email``, the layer, and the action."""

    rule: str
    layer: str
    action: str


@dataclass(kw_only=True)
class GuardedDay:
    """One day (UTC).

    Attributes:
        requests: that were answered or blocked; ``blocked`` of them.
        hits: in how many requests each kind was found.
    """

    day: datetime
    requests: int = 0
    blocked: int = 0
    hits: Counter[Found] = field(default_factory=Counter)


def guard_hits(app: App, me: Principal, project: str, *, days: int = 30) -> list[GuardedDay]:
    """The last ``days`` days on which somebody asked, the oldest first, as far as the record has been read.

    Raises:
        NotFound, Denied: there is no such project, or it is not for ``me`` to see.
    """
    table = predictions_table(reading.project(app, me, project).name)
    if app.store.tables.version(table) is None:
        return []
    among = {"p": (table, None)}
    if "out_guards" not in app.store.tables.query("select * from p limit 0", among):
        return []
    today = app.clock.now().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    rows = app.store.tables.query(_ASKED, among, [today - timedelta(days=days - 1)])
    found: dict[datetime, GuardedDay] = {}
    for day, guards, finish, n in zip(
        *(rows[name] for name in ("day", "guards", "finish", "n")), strict=True
    ):
        at = as_utc(day)
        one = found.setdefault(at, GuardedDay(day=at))
        one.requests += int(n)
        one.blocked += int(n) if finish == BLOCKED else 0
        for hit in filter(None, guards.split("; ")):
            one.hits[Found(*parts_of(hit))] += int(n)
    return list(found.values())


def guards_loosened(app: App, me: Principal, project: str) -> list[str]:
    """What the releases that answer now let through although guards would stop it, as their signed prompts
    declare it; nothing where none answers.

    Raises:
        NotFound, Denied: there is no such project, or it is not for ``me`` to see.
    """
    route = reading.route(app, me, project)
    found: dict[str, None] = {}
    for release_id in () if route is None else filter(None, (route.live, route.canary)):
        manifest = app.store.releases.get(release_id).manifest
        package = manifest.subject.package
        if package.media_type == MEDIA_TYPE:
            prompt = Prompt.from_bytes(app.store.artifacts.get(package.digest))
            found |= dict.fromkeys(loosened(prompt, personal=released_guards_personal(manifest)))
    return list(found)
