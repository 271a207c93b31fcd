"""What every test may lean on: real data, a throw-away Postgres database, and one hypothesis profile."""

from __future__ import annotations

import gc
import getpass
import inspect
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import hypothesis
import psycopg
import pytest

from tests.databases import postgres_database
from tests.once import made_once
from tests.warm import cold as started_cold
from tests.warm import warm

ROOT = Path(__file__).resolve().parents[1]
POSTGRES = ("127.0.0.1", 5432)

# Other examples each time: ten runs try more of them than one run of the build server, which tries a hundred.
hypothesis.settings.register_profile("local", deadline=None, max_examples=40)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules of tests are no garbage: looking for some as they are loaded takes a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(20_000, 20, 20)  # a process of tests lives for minutes, and has memory to spare


_MADE_ONCE = set(
    "asked counted desk door drawn empty lines live opened own sealed seeded server shared site team two "
    "written".split()
)
"""Fixtures of a module that take seconds to make."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A test that is given a long value is called by its name and length: reports have room for no more."""
    return f"{argname}-of-{len(val)}" if isinstance(val, str | bytes) and len(val) > 500 else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes, let one run all tests that share what is slow to make: it is made once."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if "trained" in used:
            item.add_marker(pytest.mark.xdist_group("trained"))
        elif hasattr(getattr(item, "module", None), "python_files"):
            item.add_marker(pytest.mark.xdist_group("source"))
        elif used & _MADE_ONCE or item.path.parent.name == "architecture":
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session", autouse=True)
def _patient_clients() -> None:
    """A busy machine is slow, not broken: httpx waits a minute for answers unless a test says less."""
    default = inspect.signature(httpx.get).parameters["timeout"].default
    default.read = default.pool = 60.0


@pytest.fixture(scope="session", autouse=True)
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Thousands of tests open a home of their own."""
    with made_once(tmp_path_factory.mktemp("once")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _warm() -> Iterator[None]:
    """Hundreds of tests start our programs."""
    with warm():
        yield


@pytest.fixture
def cold() -> Iterator[None]:
    """Our programs start as they do for users, from nothing."""
    with started_cold():
        yield


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Folder of pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets that lies beside the project; not part of the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs real data: no folder ../shared/data beside the project")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of four cores on this machine; it counts nobody, and leaves nothing behind."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'headrace[ray]'")
    # Ray has sockets in this folder, whose paths may not be long.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder,
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("RAY_TMPDIR", folder)
        env.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Executable of an installed Chromium or Chrome, for Playwright's ``executable_path``."""
    for name in ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    downloads = Path.home() / ".cache" / "ms-playwright"
    for path in sorted(downloads.glob("chromium-*/chrome-linux*/chrome"), reverse=True):
        return path
    pytest.skip("needs a browser: no chromium on PATH (scripts/browser installs Debian's)")


@pytest.fixture(scope="session")
def postgres_role() -> str:
    """Name of a Postgres role that may connect to 127.0.0.1:5432 without a password."""
    host, port = POSTGRES
    wanted = [os.environ.get("PGUSER", ""), "postgres", getpass.getuser()]
    reasons = []
    for role in dict.fromkeys(name for name in wanted if name):
        try:
            with psycopg.connect(host=host, port=port, user=role, dbname="postgres", connect_timeout=3):
                return role
        except psycopg.OperationalError as error:
            reasons.append(str(error).strip().splitlines()[-1])
    pytest.skip(f"needs Postgres: none answers on {host}:{port} ({'; '.join(dict.fromkeys(reasons))})")


@pytest.fixture
def postgres_url(postgres_role: str) -> Iterator[str]:
    """SQLAlchemy address of an empty Postgres database that only this test uses; dropped afterwards."""
    host, port = POSTGRES
    name = f"headrace_test_{secrets.token_hex(6)}"
    with psycopg.connect(
        host=host, port=port, user=postgres_role, dbname="postgres", autocommit=True
    ) as server:
        try:
            server.execute(f'CREATE DATABASE "{name}"'.encode())
        except psycopg.errors.InsufficientPrivilege:
            pytest.skip(f"needs Postgres: role {postgres_role!r} on {host}:{port} may not create databases")
        try:
            yield f"postgresql://{postgres_role}@{host}:{port}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
def prepared_postgres(postgres_role: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Postgres database that has its tables."""
    with postgres_database(postgres_role, tmp_path_factory.mktemp("postgres")) as url:
        yield url
