"""Which person somebody at an OpenID provider is here: said by an administrator, asked at sign-in."""

from __future__ import annotations

from headrace.access.oidc import Person
from headrace.app.composition import App
from headrace.core.canonical import digest_of
from headrace.core.errors import InvalidInput
from headrace.core.identity import MAIN, Principal
from headrace.core.settings import is_safe_address

_MAX_CHARS = 255


def link(app: App, me: Principal, name: str, issuer: str, subject: str) -> None:
    """Let whoever the provider ``issuer`` calls ``subject`` sign in as ``name``.

    Raises:
        Denied: ``me`` may not change this identity, or it is their own.
        NotFound: nobody is known by this name.
        InvalidInput: the issuer is no https address, the subject is empty, or ``name`` is no person.
        Conflict: they are linked to somebody else.
    """
    app.gatekeeper.require(me, "access.write", f"principal:{name}")
    person = app.store.principals.get(name)
    if person.kind != "person":
        raise InvalidInput(f"{name!r} is no person, and only people sign in. Services exchange tokens.")
    if not is_safe_address(issuer):
        raise InvalidInput(f"The issuer is {issuer[:200]!r}. Expected https://..., as the provider says it.")
    if not 0 < len(subject) <= _MAX_CHARS or not subject.isprintable():
        raise InvalidInput(f"The subject has {len(subject)} characters. Expected the provider's 'sub' claim.")
    with app.store.transaction():
        app.store.audit.append(me.name, "access.link", f"principal:{name}", _about(issuer, subject))
        app.access.links.add(person, issuer, subject)
        app.store.epoch.advance()


def unlink(app: App, me: Principal, name: str, issuer: str, subject: str) -> None:
    """Let them no longer sign in as ``name``. Raises as :func:`link`."""
    app.gatekeeper.require(me, "access.write", f"principal:{name}")
    with app.store.transaction():
        app.store.audit.append(me.name, "access.unlink", f"principal:{name}", _about(issuer, subject))
        app.access.links.end(name, issuer, subject)
        app.access.revocations.end_all(app.store.principals.get(name))
        app.store.epoch.advance()


def known_as(app: App, person: Person) -> str | None:
    """Whom the provider's word lets in; None: nobody here, which is written down."""
    name = app.access.links.find(person.issuer, person.subject)
    if name is None:
        detail = _about(person.issuer, person.subject)
        app.store.audit.append("nobody", "session.refused", "principal:unknown", detail)
    return name


def whom_to_ask(app: App) -> list[str]:
    """People who can link somebody, to be named to a stranger: those of ``main`` only."""
    now = app.clock.now()
    return [
        one.name
        for one in app.store.principals.list()
        if one.kind == "person" and one.workspace == MAIN and "admin" in one.roles and one.may_act(now)
    ]


def _about(issuer: str, subject: str) -> dict[str, str]:
    """What the audit log may know: a subject can be an address, so only its digest."""
    return {"issuer": issuer, "subject_digest": digest_of([issuer, subject])}
