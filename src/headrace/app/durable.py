"""Durable workflows: a narrow face over DBOS, so that the rest of Headrace knows only these verbs.

A workflow is a function whose steps are recorded: killed anywhere, it goes on after the last recorded
step, in whichever process notices first. A step may run twice if it was killed before its record was
written; every step is therefore safe to repeat.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar

from headrace.core.errors import UserError
from headrace.core.ids import new_id
from headrace.core.ports import Clock, ExecutorStore
from headrace.store import write_ahead

T = TypeVar("T")
Status = Literal["absent", "unfinished", "finished", "failed"]
_HEARTBEAT_S = 2.0
_POLL_S = 0.05
_ASK_S = 1.0
_LISTEN_S = 0.1
"""How often SQLite is asked for messages, Postgres tells by itself: a decision waits no longer than this,
and neither does a command that ends."""
_VERSION = "1"
"""Version of the workflows' shape; raise it when a step is added or removed in the middle."""


class Durable:
    """Runs workflows in this process and takes over those of processes that have died.

    Args:
        database_url: SQLAlchemy address of the workflows' own tables.
        executors: register of live processes.
        clock: paces the heartbeat.
        role: ``server`` or ``command``.
    """

    def __init__(self, *, database_url: str, executors: ExecutorStore, clock: Clock, role: str) -> None:
        self.executor_id = new_id(clock.now())
        self._url = database_url
        self._executors = executors
        self._clock = clock
        self._role = role
        self._workflows: dict[str, Callable[..., Any]] = {}
        self._running: dict[str, threading.Event] = {}
        self.on_step: Callable[[str], None] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def launch(self, workflows: dict[str, Callable[..., Any]], address: str | None = None) -> None:
        """Register this process and the workflows it can run, then take over what has been left."""
        from dbos import DBOS

        for noisy in ("dbos", "alembic"):
            logger = logging.getLogger(noisy)
            logger.setLevel(logging.CRITICAL)
            logger.handlers.clear()  # those of an earlier launch write where standard error was then
        self._executors.register(self.executor_id, self._role, address)
        write_ahead(self._url)
        DBOS(
            config={
                "name": "headrace",
                "system_database_url": self._url,
                "executor_id": self.executor_id,
                "application_version": _VERSION,
                "log_level": "CRITICAL",
                "console_log_level": "CRITICAL",
                "enable_otlp": False,
                "notification_listener_polling_interval_sec": _LISTEN_S,
            }
        )
        self._workflows = {
            name: DBOS.workflow(name=name)(self._function(run)) for name, run in workflows.items()
        }
        DBOS.launch()
        self.take_over()
        self._thread = threading.Thread(target=self._beat, name="headrace-heartbeat", daemon=True)
        self._thread.start()

    def start(self, name: str, workflow_id: str, *arguments: Any) -> None:
        """Start a workflow in this process; starting the same id again does nothing."""
        from dbos import DBOS, SetWorkflowID

        if self.status(workflow_id) == "absent":
            self._running[workflow_id] = threading.Event()
            with SetWorkflowID(workflow_id):
                DBOS.start_workflow(self._workflows[name], *arguments)

    def step(self, name: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Inside a workflow: run ``function`` once and record what it returns (plain data)."""
        from dbos import DBOS

        if self.on_step is not None:
            self.on_step(name)
        return DBOS.run_step({"name": name}, _explained(name, function), *arguments, **options)

    def child(self, name: str, workflow_id: str, *arguments: Any) -> None:
        """Inside a workflow: start another one that goes on by itself."""
        from dbos import DBOS, SetWorkflowID

        with SetWorkflowID(workflow_id):
            DBOS.start_workflow(self._workflows[name], *arguments)

    def children(self, name: str, parent_id: str, arguments: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Inside a workflow: run child workflows side by side; results in the order given."""
        from dbos import DBOS, SetWorkflowID

        handles = []
        for key, values in arguments:
            with SetWorkflowID(f"{parent_id}:{key}"):
                handles.append(DBOS.start_workflow(self._workflows[name], *values))
        return [handle.get_result() for handle in handles]

    def receive(self, topic: str, timeout_s: float) -> Any:
        """Inside a workflow: wait for a message, also across restarts; None after ``timeout_s``."""
        from dbos import DBOS

        return DBOS.recv(topic, timeout_seconds=timeout_s)

    def send(self, workflow_id: str, topic: str, message: Any, key: str | None = None) -> None:
        """Send a message; the same ``key`` is delivered once."""
        from dbos import DBOS

        DBOS.send(workflow_id, message, topic, idempotency_key=key)

    def status(self, workflow_id: str) -> Status:
        """How far a workflow has got."""
        from dbos import DBOS

        found = DBOS.list_workflows(workflow_ids=[workflow_id], load_input=False, load_output=False)
        if not found:
            return "absent"
        if found[0].status == "SUCCESS":
            return "finished"
        return "unfinished" if found[0].status in ("PENDING", "ENQUEUED", "DELAYED") else "failed"

    def result(self, workflow_id: str) -> Any:
        """Wait for a workflow and return what it returned, or raise what it raised."""
        from dbos import DBOS

        # What runs here says when it has ended; whether somebody else has ended it is asked now and then.
        while ended := self._running.get(workflow_id):
            if ended.wait(_ASK_S) or self.status(workflow_id) != "unfinished":
                break
        return DBOS.retrieve_workflow(workflow_id).get_result(polling_interval_sec=_POLL_S)

    def cancel(self, workflow_id: str) -> None:
        """Give a workflow up; its records stay."""
        from dbos import DBOS

        DBOS.cancel_workflow(workflow_id)

    def unfinished(self, name: str, prefix: str | None = None) -> list[str]:
        """Ids of workflows of this name that have not ended, oldest first; with a ``prefix`` those alone."""
        from dbos import DBOS

        found = DBOS.list_workflows(
            status=["PENDING", "ENQUEUED"], name=name, workflow_id_prefix=prefix, load_output=False
        )
        return [status.workflow_id for status in found]

    def runs_here(self, workflow_id: str) -> bool:
        """Whether this process runs it, or is about to."""
        from dbos import DBOS

        found = DBOS.list_workflows(workflow_ids=[workflow_id], load_input=False, load_output=False)
        return bool(found) and (found[0].status == "ENQUEUED" or found[0].executor_id == self.executor_id)

    def take_over(self) -> int:
        """Go on with the workflows of processes that no longer live; returns how many.

        Each dead process is claimed by one live one, so that no workflow runs in two places.
        """
        from dbos import DBOS

        taken = 0
        for dead in self._executors.dead():
            if dead == self.executor_id or not self._executors.claim(dead, self.executor_id):
                continue
            for left in DBOS.list_workflows(status="PENDING", executor_id=dead, load_output=False):
                DBOS.resume_workflow(left.workflow_id)
                taken += 1
            self._executors.forget(dead)
        return taken

    def close(self) -> None:
        """Leave: what this process was running is free for others from now on."""
        from dbos import DBOS

        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=0)
        self._executors.release(self.executor_id)

    def _function(self, method: Callable[..., T]) -> Callable[..., T]:
        """DBOS notes things on what it registers, which a bound method does not allow."""
        from dbos import DBOS

        @wraps(method)
        def run(*arguments: Any) -> T:
            try:
                return method(*arguments)
            finally:
                if ended := self._running.pop(DBOS.workflow_id or "", None):
                    ended.set()

        return run

    def _beat(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S):
            try:
                self._executors.heartbeat(self.executor_id)
                self.take_over()
            except Exception:  # the heart must go on beating; the next beat tries again
                logging.getLogger("headrace.durable").exception("heartbeat failed")


def _explained(name: str, function: Callable[..., T]) -> Callable[..., T]:
    """What breaks inside a step is logged where it broke; the record keeps the exception alone."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> T:
        try:
            return function(*arguments, **options)
        except UserError:
            raise
        except Exception:
            logging.getLogger("headrace.durable").exception("step %s failed", name)
            raise

    return run
