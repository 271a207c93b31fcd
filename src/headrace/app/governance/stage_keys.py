"""Whose releases may be brought here: public keys of other installations, trusted by an administrator."""

from __future__ import annotations

from headrace.access.key_ring import PublicKey, name_of
from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.core.identity import MAIN, Principal

_STAGES = "key:stages"


def own_key(app: App, me: Principal) -> PublicKey:
    """The public half of the key that signs releases here, for other installations to trust."""
    app.gatekeeper.require(me, "project.read", "key:releases")
    return next(key for key in app.access.signatures.public_keys() if key.signs)


def stage_keys(app: App, me: Principal) -> list[PublicKey]:
    """Keys of other installations whose releases may be brought here."""
    app.gatekeeper.require(me, "project.read", _STAGES)
    return app.access.signatures.stages.accepted()


def trust_stage(app: App, me: Principal, pem: bytes, note: str) -> str:
    """Let releases be brought here that this key has signed; returns its name.

    Raises:
        Denied: ``me`` administers nothing here.
        InvalidInput: it is no public key.
    """
    app.gatekeeper.require(me, "access.write", f"workspace:{MAIN}")
    app.store.audit.append(me.name, "stage.trust", _STAGES, {"key": name_of(pem), "note": note})
    return app.access.signatures.stages.accept(pem)


def distrust_stage(app: App, me: Principal, text: str) -> str:
    """Let nothing more be brought here that this key signs; what was brought stays. Returns its name.

    Raises:
        Denied: ``me`` administers nothing here.
        NotFound: no such key is trusted.
    """
    app.gatekeeper.require(me, "access.write", f"workspace:{MAIN}")
    keys = app.access.signatures.stages
    how = "headrace release keys ls"
    name = find_one(keys.accepted(), text, lambda key: (key.name,), what="trusted key", how=how).name
    app.store.audit.append(me.name, "stage.distrust", _STAGES, {"key": name})
    keys.refuse(name)
    return name
