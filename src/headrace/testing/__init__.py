"""Fakes, factories and conformance suites for Headrace's ports, for its own tests and for yours.

A suite is a class to inherit; its docstring names the fixtures it needs::

    class TestMyArtifacts(ArtifactStoreSuite):
        @pytest.fixture
        def artifacts(self) -> ArtifactStore:
            return MyArtifacts()

This package needs pytest, and the ``requirement`` marker that the suites carry registered in pytest's
configuration; nothing else in Headrace does.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("headrace.testing.suites")

# Asserts are only explained in modules that are imported after this call.
from headrace.testing.clock import START, FakeClock  # noqa: E402
from headrace.testing.factories import (  # noqa: E402
    make_alert,
    make_approval,
    make_artifact,
    make_failure,
    make_feedback,
    make_finding,
    make_governance,
    make_manifest,
    make_measurement,
    make_message,
    make_model,
    make_outcome,
    make_prediction,
    make_principal,
    make_project,
    make_refusal,
    make_release,
    make_rollout,
    make_route,
    make_run,
    make_settings,
    make_snapshot,
    make_tokens,
    make_verdict,
)
from headrace.testing.guards import WordGuard  # noqa: E402
from headrace.testing.memory import (  # noqa: E402
    MemoryArtifacts,
    MemoryChannel,
    MemoryEpoch,
    MemoryEvents,
    MemoryExpiring,
    MemoryKeys,
    MemoryRecords,
    MemoryTracker,
)
from headrace.testing.models import EchoModel  # noqa: E402
from headrace.testing.scripted_llm import ScriptedLLM  # noqa: E402
from headrace.testing.suites.artifacts import ArtifactStoreSuite  # noqa: E402
from headrace.testing.suites.audit import AuditLogSuite  # noqa: E402
from headrace.testing.suites.changing import RecordStoreSuite  # noqa: E402
from headrace.testing.suites.channels import ChannelSuite  # noqa: E402
from headrace.testing.suites.clock import ClockSuite  # noqa: E402
from headrace.testing.suites.data_keys import DataKeysSuite  # noqa: E402
from headrace.testing.suites.epoch import EpochSuite  # noqa: E402
from headrace.testing.suites.events import EventLogSuite  # noqa: E402
from headrace.testing.suites.evidence import EvidenceStoreSuite  # noqa: E402
from headrace.testing.suites.executors import ExecutorStoreSuite  # noqa: E402
from headrace.testing.suites.expiring import ExpiringStoreSuite, SightingStoreSuite  # noqa: E402
from headrace.testing.suites.findings import FindingStoreSuite  # noqa: E402
from headrace.testing.suites.guards import GuardSuite  # noqa: E402
from headrace.testing.suites.jobs import JobStoreSuite  # noqa: E402
from headrace.testing.suites.models import ModelStoreSuite  # noqa: E402
from headrace.testing.suites.policy import PolicySuite  # noqa: E402
from headrace.testing.suites.principals import PrincipalStoreSuite  # noqa: E402
from headrace.testing.suites.projects import ProjectStoreSuite  # noqa: E402
from headrace.testing.suites.queue import QueueSuite  # noqa: E402
from headrace.testing.suites.releases import ReleaseStoreSuite  # noqa: E402
from headrace.testing.suites.rollouts import RolloutStoreSuite  # noqa: E402
from headrace.testing.suites.runs import RunStoreSuite  # noqa: E402
from headrace.testing.suites.scorer import ScorerSuite  # noqa: E402
from headrace.testing.suites.seals import SealStoreSuite  # noqa: E402
from headrace.testing.suites.snapshots import SnapshotStoreSuite  # noqa: E402
from headrace.testing.suites.tables import TableStoreSuite  # noqa: E402
from headrace.testing.suites.tracker import TrackerSuite  # noqa: E402
from headrace.testing.suites.uses import UseStoreSuite  # noqa: E402

__all__ = [
    "START",
    "ArtifactStoreSuite",
    "AuditLogSuite",
    "ChannelSuite",
    "ClockSuite",
    "DataKeysSuite",
    "EchoModel",
    "EpochSuite",
    "EventLogSuite",
    "EvidenceStoreSuite",
    "ExecutorStoreSuite",
    "ExpiringStoreSuite",
    "FakeClock",
    "FindingStoreSuite",
    "GuardSuite",
    "JobStoreSuite",
    "MemoryArtifacts",
    "MemoryChannel",
    "MemoryEpoch",
    "MemoryEvents",
    "MemoryExpiring",
    "MemoryKeys",
    "MemoryRecords",
    "MemoryTracker",
    "ModelStoreSuite",
    "PolicySuite",
    "PrincipalStoreSuite",
    "ProjectStoreSuite",
    "QueueSuite",
    "RecordStoreSuite",
    "ReleaseStoreSuite",
    "RolloutStoreSuite",
    "RunStoreSuite",
    "ScorerSuite",
    "ScriptedLLM",
    "SealStoreSuite",
    "SightingStoreSuite",
    "SnapshotStoreSuite",
    "TableStoreSuite",
    "TrackerSuite",
    "UseStoreSuite",
    "WordGuard",
    "make_alert",
    "make_approval",
    "make_artifact",
    "make_failure",
    "make_feedback",
    "make_finding",
    "make_governance",
    "make_manifest",
    "make_measurement",
    "make_message",
    "make_model",
    "make_outcome",
    "make_prediction",
    "make_principal",
    "make_project",
    "make_refusal",
    "make_release",
    "make_rollout",
    "make_route",
    "make_run",
    "make_settings",
    "make_snapshot",
    "make_tokens",
    "make_verdict",
]
