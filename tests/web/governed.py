"""What governing leaves behind: texts of each state, waivers of each kind, and the longest names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from headrace.access.policy import DEFAULT
from headrace.app.composition import App
from headrace.app.governance import waivers
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.core.identity import Principal
from headrace.core.release import Waiver
from headrace.releases.waivers import Size
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import AUDITOR

LONG = "the-service-that-scores-every-used-car-in-the-country-each-nite"
VIEWERS_PREDICT = DEFAULT.replace(
    "// example: deny person ann (viewer) predict project:cars",
    "// example: allow person ann (viewer) predict project:cars",
).replace(
    '@id("developer")',
    '@id("viewers-predict")\npermit (principal in Role::"viewer", action == Action::"predict", resource);'
    '\n\n@id("developer")',
)
NO_GENDER = "forbidden_inputs: [gender, native_language]\n"


ADDRESSES = {"/policy": POLICY, "/policy/rules": RULES}
"""Where the pages of each kind of text are."""


def text_of(address: str, number: int) -> str:
    """A text that can come into force, another for each number."""
    return f"{DEFAULT}\n// {number}\n" if address == "/policy" else f"forbidden_inputs: [c{number}]\n"


@dataclass(frozen=True, kw_only=True)
class Governed:
    """Ids of the waivers that tests look at."""

    waiting: str
    holding: str
    expired: str


def govern(app: App) -> Governed:
    """Add to a seeded home: a text of each kind that was refused, one in force and one that waits."""
    author, grace = app.identities.resolve(AUTHOR), app.identities.resolve(VALIDATOR)
    auditor = app.identities.resolve(AUDITOR)
    texts = {
        POLICY: (DEFAULT + "\n// tried\n", DEFAULT + "\n// reviewed in spring\n", VIEWERS_PREDICT),
        RULES: ("forbidden_inputs: [carrier]\n", NO_GENDER, NO_GENDER + "watched: [drift]\n"),
    }
    for kind, (refused, live, waits) in texts.items():
        first = kind.propose(app, author, refused, "a first try")
        kind.decide(app, grace, first.version, "rejected", "Say why.")
        second = kind.propose(app, author, live, "Asked for by the works council in its letter of 3 March.")
        kind.decide(app, grace, second.version, "approved", "As agreed.")
        kind.propose(
            app, author, waits, "Viewers try models out before they ask for more." if kind is POLICY else ""
        )
    app.identities.add(
        LONG, ["operator"], actor=AUTHOR, kind="service", owner=AUTHOR, purpose="Scores cars at night. " * 8
    )
    waiting = _ask(
        app, author, "control:canary", "medium", "The launch is on Monday, and a canary takes a week."
    )
    waivers.decide(app, grace, waiting.id, "approved", "For the launch only.")
    holding = _ask(
        app, author, "control:documentation", "small", "The description is with the legal department. " * 6
    )
    waivers.decide(app, grace, holding.id, "approved")
    expired = _ask(app, author, "gate:champion", "medium", "Last winter's storm.")
    for by in (grace, auditor):
        waivers.decide(app, by, expired.id, "approved")
    now, kept = app.clock.now(), app.store.waivers.get(expired.id)
    past = replace(
        kept, asked_at=now - timedelta(days=9), ends_at=now - timedelta(days=2), revision=kept.revision + 1
    )
    app.store.waivers.change(past)
    return Governed(waiting=waiting.id, holding=holding.id, expired=expired.id)


def _ask(app: App, me: Principal, rule: str, size: Size, reason: str) -> Waiver:
    return waivers.ask(app, me, "cars", rule, reason=reason, days=7, size=size)


def post(site: Site, path: str, by: str = AUTHOR, **form: str) -> tuple[int, str]:
    """Status of an answer, and where it leads or what it shows."""
    answer = site.post(path, by=by, data=form, headers={"accept": "text/html"})
    return answer.status_code, answer.headers.get("location", answer.text)
