"""Erasures as durable workflows: one that was ordered is finished, whatever dies meanwhile, and is proved.

An order is a file before it is a workflow. It holds the subject's key sealed, because the steps have to find
the subject and nothing else may name it; the file is destroyed with the last step. Whoever launches workflows
goes on with orders that are left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.app.composition import App
from headrace.app.durable import Durable
from headrace.app.privacy.erasing import Affected, Archives, Erasure, Found, Removed, Subject, hash_of
from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.store.disk import locked, make_folder, sync_folder, write_once
from headrace.store.documents import from_plain, to_plain


@dataclass(frozen=True, kw_only=True)
class Order:
    """An erasure that somebody asked for.

    Attributes:
        subject: keyed hash of the subject's key.
        sealed: the key itself, which only this home's vault opens.
        raw: whether raw originals are deleted too.
    """

    id: str
    project: str
    subject: str
    sealed: str
    reason: str
    raw: bool
    actor: str


class Erasures:
    """Steps of :meth:`run`; each can be repeated without another effect."""

    def __init__(self, app: App, durable: Durable) -> None:
        self._app = app
        self._store = app.store
        self._durable = durable
        self._folder = app.settings.home / "erasing"

    def order(self, principal: Principal, project: str, key: str, *, reason: str, raw: bool = False) -> str:
        """Have whom or what ``key`` names removed from events, tables and snapshots, old versions included.

        It is done although this process dies. Returns the order's id; the same one while it is not finished.

        Args:
            raw: delete the raw originals that hold it too; without it they are listed only.

        Raises:
            Denied: ``principal`` may not erase.
            InvalidInput: no key or no reason.
        """
        self._app.gatekeeper.require(principal, "data.erase", f"project:{project}")
        if not key.strip() or not reason.strip():
            raise InvalidInput("An erasure needs a subject and a reason: whose rows, and who asked for it.")
        name, subject = self._store.projects.get(project).name, hash_of(self._app, project, key)
        wanted = (name, subject, raw)
        for known in self._orders():
            if (known.project, known.subject, known.raw) == wanted:
                self._start(known)
                return known.id
        order_id = new_id(self._app.clock.now())
        order = Order(
            id=order_id,
            project=name,
            subject=subject,
            sealed=self._app.access.vault.seal(key.encode("utf-8", "surrogatepass"), owner=_owner(order_id)),
            reason=reason.replace(key, "<subject>"),
            raw=raw,
            actor=principal.name,
        )
        write_once(self._path(order_id), canonical_json(order))
        self._start(order)
        return order_id

    def result(self, order_id: str) -> Erasure:
        """Wait for an erasure, and say what was removed.

        Raises:
            Conflict: answers about the subject keep arriving; it is tried again.
        """
        return from_plain(Erasure, self._durable.result(self._newest(order_id)))

    def resume(self) -> int:
        """Start what was ordered and neither runs nor has succeeded; returns how many."""
        return sum(self._start(order) for order in self._orders())

    def run(self, order_id: str) -> dict[str, Any]:
        """The workflow: note, remove, prove. Returns the erasure as plain data."""
        step = self._durable.step
        found = from_plain(Found, step("find", self._find, order_id))
        removed = from_plain(Removed, step("answers", self._answers, order_id))
        changed = [from_plain(Affected, one) for one in step("snapshots", self._snapshots, order_id)]
        archives = from_plain(Archives, step("archives", self._archives, order_id))
        # What was found first counts: a step that was killed finds less when it is done again.
        affected = {one.snapshot: one for one in (*changed, *found.snapshots)}
        about = step("about", self._about, order_id)
        erasure = Erasure(
            id=order_id,
            project=about["project"],
            subject=about["subject"],
            events=removed.events,
            rows=removed.rows,
            snapshots=list(affected.values()),
            archives=archives.digests,
            archives_removed=about["raw"],
            not_searched=archives.not_searched,
        )
        done: dict[str, Any] = to_plain(erasure)
        step("prove", self._prove, order_id, archives.digests, done)
        return done

    def _find(self, order_id: str) -> dict[str, Any]:
        """The order is in the audit log before anything is removed."""
        with self._subject(order_id) as (order, subject):
            found: dict[str, Any] = to_plain(subject.find())
            detail = {"reason": order.reason, "raw": order.raw, "found": found}
            self._note(order, "data.erase", detail)
        return found

    def _answers(self, order_id: str) -> dict[str, Any]:
        with self._subject(order_id) as (_, subject):
            removed: dict[str, Any] = to_plain(subject.answers())
        return removed

    def _snapshots(self, order_id: str) -> list[dict[str, Any]]:
        with self._subject(order_id) as (_, subject):
            return [to_plain(one) for one in subject.snapshots()]

    def _archives(self, order_id: str) -> dict[str, Any]:
        with self._subject(order_id) as (_, subject):
            found: dict[str, Any] = to_plain(subject.archives())
        return found

    def _about(self, order_id: str) -> dict[str, Any]:
        order = self._read(order_id)
        return {"project": order.project, "subject": order.subject, "raw": order.raw}

    def _prove(self, order_id: str, archives: list[str], done: dict[str, Any]) -> None:
        """The originals go last, because they are found by what is in them; then the key is destroyed."""
        if not self._path(order_id).exists():
            return
        order = self._read(order_id)
        if order.raw:
            for digest in archives:
                self._store.artifacts.remove(digest)
        proof = {name: done[name] for name in _PROVED}
        self._note(order, "data.erased", proof)
        self._path(order_id).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _note(self, order: Order, action: str, detail: dict[str, Any]) -> None:
        """An entry of the audit log, once."""
        if any(entry.action == action for entry in self._store.audit.search(order.id)):
            return
        said = {"erasure": order.id, "subject": order.subject, **detail}
        self._store.audit.append(order.actor, action, f"project:{order.project}", said)

    @contextmanager
    def _subject(self, order_id: str) -> Iterator[tuple[Order, Subject]]:
        """Whom an order is about. Two steps at once would each write a snapshot with the other's subject."""
        order = self._read(order_id)
        key = self._app.access.vault.open(order.sealed, owner=_owner(order_id))
        with locked(self._folder):
            project = self._store.projects.get(order.project)
            yield order, Subject(self._app, project, key.decode("utf-8", "surrogatepass"))

    def _orders(self) -> list[Order]:
        make_folder(self._folder)
        found = []
        for path in sorted(self._folder.glob("*.order")):
            with suppress(FileNotFoundError):  # another process has just finished it
                found.append(self._read(path.stem))
        return found

    def _read(self, order_id: str) -> Order:
        return from_plain(Order, json.loads(self._path(order_id).read_bytes()))

    def _path(self, order_id: str) -> Path:
        return self._folder / f"{order_id}.order"

    def _start(self, order: Order) -> bool:
        """Start the order's workflow unless it runs; one that failed is followed by another."""
        workflow_id = self._newest(order.id)
        status = self._durable.status(workflow_id)
        if status == "failed":
            attempt = int(workflow_id.rsplit(":", 1)[1]) + 1
            workflow_id, status = f"erase:{order.id}:{attempt}", "absent"
        if status != "absent":
            return False
        self._durable.start("erase", workflow_id, order.id)
        return True

    def _newest(self, order_id: str) -> str:
        attempt = 1
        while self._durable.status(f"erase:{order_id}:{attempt + 1}") != "absent":
            attempt += 1
        return f"erase:{order_id}:{attempt}"


_PROVED = ("events", "rows", "snapshots", "archives", "archives_removed")


def _owner(order_id: str) -> str:
    return f"erasure:{order_id}"
