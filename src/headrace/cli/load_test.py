"""``headrace serve test``: does the service level hold?"""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from headrace.app.gates.load_test import LoadPlan, LoadTest, run_load_test
from headrace.app.operations import find_release
from headrace.cli.exits import end_with
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.canonical import plain
from headrace.core.errors import GateFailed, InvalidInput, Unavailable, WaitsForPerson
from headrace.core.project import ServiceLevel

_BAR = 20


def load(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    release: Annotated[
        str | None, typer.Option(metavar="ID", help="The live one, or else the newest, unless given.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="A server that runs, whose answers are on record. Unless given, one of the test's own."
        ),
    ] = None,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Also load another machine.")] = False,
    p99_ms: Annotated[float | None, typer.Option(help="Instead of the declared level's.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second instead of the declared.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Length of each step.")] = 5.0,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Load a release with its own test rows: does the service level hold, and how many replicas does it take?

    Ends with 3 when the level does not hold, and with 4 when a person has to judge.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console, disable=as_json or not console.is_terminal,
    )  # fmt: skip
    with session(as_name) as s, bar:
        plan = LoadPlan(
            project=project,
            release_id=None if release is None else find_release(s.app, s.me, release).id,
            url=url,
            level=_level(s.app.access.charters.in_force(project).serving.level, p99_ms, rate),
            step_s=seconds,
            anywhere=anywhere,
        )
        tasks: dict[str, TaskID] = {}

        def show(step: str, share: float) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=1.0)
                if not console.is_terminal:
                    say(f"{step} ...", err=True)
            bar.update(tasks[step], completed=share)

        tested = run_load_test(s.app, s.me, plan, show)
    if as_json:
        print_json(_finite(plain(tested)))
    else:
        print_test(tested)
    if tested.outcome == "failed":
        end_with(GateFailed(f"The service level does not hold. {tested.reason}"), as_json=as_json)
    if tested.outcome == "inconclusive":
        end_with(WaitsForPerson(f"Whether the level holds is not clear. {tested.reason}"), as_json=as_json)
    if tested.outcome == "error":
        raise Unavailable(f"The level could not be tested: {tested.reason}")


def _level(declared: ServiceLevel | None, p99_ms: float | None, rate: float | None) -> ServiceLevel | None:
    """The declared level with what the command line says instead."""
    if any(given is not None and not 0 < given < inf for given in (p99_ms, rate)):
        raise InvalidInput("--p99-ms and --rate are numbers above 0.")
    if declared is not None:
        return replace(
            declared,
            p99_ms=p99_ms or declared.p99_ms,
            requests_per_s=rate or declared.requests_per_s,
        )
    return None if p99_ms is None or rate is None else ServiceLevel(p99_ms=p99_ms, requests_per_s=rate)


def print_test(tested: LoadTest) -> None:
    """Every step in a line, what they come to, and how many replicas it takes."""
    level, measured = tested.level, [step.p99_ms.value for step in tested.steps]
    most = max([value for value in measured if isfinite(value)] or [1.0])
    say(f"{tested.project}, release {tested.release}, {tested.n_rows:,} different rows")
    typer.echo(
        f"Declared: 99 of 100 within {level.p99_ms:g} ms at {level.requests_per_s:g} requests per second, "
        f"{level.availability:.3%} answered.\n"
    )
    print_table(
        (
            "PER SECOND",
            "ANSWERED",
            "FAILED",
            "P50 MS",
            "P95 MS",
            "P99 MS (95 % INTERVAL)",
            "CPU",
            "MEMORY",
            "P99",
        ),
        [
            (
                f"{step.offered_per_s:.1f}",
                f"{step.answered_per_s:.1f}",
                f"{step.failed} of {step.sent:,}",
                f"{step.p50_ms.value:.2f}",
                f"{step.p95_ms.value:.2f}",
                str(step.p99_ms),
                "" if step.cpu_share is None else f"{step.cpu_share:.0%}",
                "" if step.memory_bytes is None else f"{step.memory_bytes / 2**20:.0f} MiB",
                "#" * max(round(_BAR * min(step.p99_ms.value / most, 1.0)), 1),
            )
            for step in tested.steps
        ],
        empty="",
    )
    said = {
        "passed": "The level holds",
        "failed": "The level does not hold",
        "inconclusive": "Whether the level holds is not clear",
    }.get(tested.outcome, "The level could not be tested")
    say(f"\n{said}. {tested.reason}", lines=True)
    replicas = (
        "Replicas: none would do" if tested.plan.replicas is None else f"Replicas: {tested.plan.replicas}"
    )
    say(f"{replicas}. {tested.plan.reason}.")
    say(f"Kept on the release as verdict {tested.verdict}.")


def _finite(value: Any) -> Any:
    """As JSON has it: what is unbounded is null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
