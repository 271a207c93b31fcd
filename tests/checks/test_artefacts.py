from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checks.artefacts import Threat, require_safe, scan, scan_bytes
from headrace.checks.containers import Limits
from headrace.core.errors import GateFailed
from tests.checks import benign, hostile

HOSTILE = hostile.contents()
FOLDERS = hostile.folders()
TIGHT = Limits(free_bytes=1 << 20)


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_our_own_scanner_and_nothing_of_it_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert scan(write(tmp_path, name, HOSTILE[name]), limits=TIGHT, second_opinions=False)
    assert not (tmp_path / hostile.MARKER).exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_folder_is_refused(name: str, tmp_path: Path) -> None:
    threats = scan(FOLDERS[name](tmp_path / "model"), second_opinions=False)
    assert threats
    assert "\n" not in "".join(map(str, threats))


def test_real_models_are_accepted_by_everybody(tmp_path: Path) -> None:
    harmless = benign.contents()
    assert len(harmless) >= 25
    refused = {name: scan(write(tmp_path, name, content)) for name, content in harmless.items()}
    assert {name: threats for name, threats in refused.items() if threats} == {}
    for name, make in benign.folders().items():
        assert scan(make(tmp_path / name)) == []


def test_what_is_found_is_named_with_its_place() -> None:
    (found,) = scan_bytes(HOSTILE["objects.npz"], "objects.npz")
    assert (found.path, found.kind) == ("objects.npz!a.npy", "code")
    assert "posix.system" in found.detail
    with pytest.raises(GateFailed, match="objects.npz was refused before anything loaded it: .*posix.system"):
        require_safe([found], "objects.npz")
    require_safe([], "objects.npz")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bomb.zip", "bomb"), ("bomb.joblib", "bomb"), ("traversal.zip", "path"), ("link.tar", "link"),
        ("nested.zip", "nested"), ("outside.onnx", "external"), ("operators.onnx", "operator"),
        ("lie.npy", "disguise"), ("project.py", "user_code"), ("truncated.pkl", "unreadable"),
        ("weights.h5", "unknown"), ("behind_array.joblib", "code"), ("read_by_pickle.joblib", "code"),
    ],
)  # fmt: skip
def test_each_threat_has_its_kind(name: str, kind: str) -> None:
    assert kind in {threat.kind for threat in scan_bytes(HOSTILE[name], name, limits=TIGHT)}


def test_a_payload_behind_an_array_is_found_by_ours_also_where_the_common_scanner_finds_none() -> None:
    import io

    from picklescan.scanner import scan_bytes as common

    content = HOSTILE["behind_array.joblib"]
    assert common(io.BytesIO(content), "model.joblib", ".joblib").issues_count == 0
    assert scan_bytes(content, "model.joblib")


def test_code_may_be_allowed_where_it_can_be_seen(tmp_path: Path) -> None:
    folder = FOLDERS["code"](tmp_path / "model")
    (folder / "code.py").write_text("x = 1")
    assert {threat.kind for threat in scan(folder)} == {"user_code"}
    assert scan(folder, allow_code=True) == []
    (folder / "model.pkl").write_bytes(hostile.RUNS)
    assert {threat.kind for threat in scan(folder, allow_code=True)} == {"code"}


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    target = write(tmp_path, "model.json", b"{}")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    (found,) = scan(link)
    assert found.kind == "link"


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path, f"{number}.json", b"{}")
    assert [t.kind for t in scan(tmp_path, limits=Limits(members=10))] == ["bomb"]


def test_names_in_reports_are_plain_text(tmp_path: Path) -> None:
    assert scan_bytes(HOSTILE["newline.zip"], "a.zip") == [
        Threat(
            path=r"a.zip!a\nb",
            kind="path",
            detail="its name holds a control character, a backslash or a drive",
        )
    ]


_SEEDS = [
    HOSTILE[name]
    for name in (
        "behind_array.joblib",
        "protocol_4.pkl",
        "torch.pt",
        "objects.npz",
        "outside.onnx",
        "link.tar",
    )
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file of ours with a few bytes changed, cut out or put in."""
    models = [benign.contents()[name] for name in ("tree.pkl", "tree.joblib", "plain_0.pkl", "model.onnx")]
    content = bytearray(draw(st.sampled_from([*_SEEDS, *models])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        change = draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if change == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del content[at : at + draw(st.integers(1, 30))]
        elif change == "insert":
            content[at:at] = draw(st.binary(max_size=10))
        else:
            del content[at:]
    return bytes(content)


_EXTENSIONS = ("pkl", "joblib", "npz", "onnx", "pt", "txt", "bin", "skops")
_WATCHED = (
    "os.system",
    "subprocess.Popen",
    "exec",
    "pickle.find_class",
    "import",
    "socket.connect",
    "os.exec",
)
_seen: list[str] = []
_watching: list[bool] = []
"""Not empty while a scan is watched; a hook cannot be removed."""


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event in _WATCHED:
        _seen.append(f"{event} {arguments[0]!r}")


sys.addaudithook(_hook)


@settings(max_examples=60, deadline=None)
@given(content=mutated(), extension=st.sampled_from(_EXTENSIONS))
def test_no_file_makes_the_scanner_fail_run_or_import_anything(content: bytes, extension: str) -> None:
    _scan_quietly(content, extension)  # whatever our own code imports late is there now
    _seen.clear()
    _watching.append(True)
    try:
        threats = _scan_quietly(content, extension)
    finally:
        _watching.clear()
    assert _seen == []
    assert all(isinstance(threat, Threat) for threat in threats)


def _scan_quietly(content: bytes, extension: str) -> list[Threat]:
    return scan_bytes(content, f"model.{extension}", second_opinions=False)


def test_a_scan_needs_none_of_the_libraries_that_models_are_made_of(tmp_path: Path) -> None:
    path = write(tmp_path, "model.joblib", HOSTILE["behind_array.joblib"])
    code = (
        "import sys; from pathlib import Path; from headrace.checks.artefacts import scan;"
        "assert scan(Path(sys.argv[1]), second_opinions=False);"
        "assert not {'joblib', 'sklearn', 'onnx', 'torch', 'pickle.find_class'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60, env=dict(os.environ))
