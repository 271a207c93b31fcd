from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.signing import Signatures
from headrace.core.canonical import canonical_json, digest_bytes
from headrace.core.data import Artifact
from headrace.core.errors import Conflict, InvalidInput, UserError
from headrace.core.ids import derived_id
from headrace.core.release import Subject
from headrace.releases.bundle import Bundle, named_parts, read_bundle, write_bundle
from headrace.testing import (
    make_artifact,
    make_manifest,
    make_model,
    make_project,
    make_release,
    make_run,
    make_snapshot,
    make_verdict,
)

CONTENTS = (b"package", b"code", b"environment", b"baseline", b"raw")


def bundled(**changes: Any) -> Bundle:
    """A consistent bundle whose parts are those of :data:`CONTENTS`."""
    package, code, environment, baseline, raw = (make_artifact(one) for one in CONTENTS)
    digest = digest_bytes(b"rows")
    snapshot = make_snapshot(id=derived_id("snapshot", "cars", digest), digest=digest, raw=raw)
    run = make_run(snapshot_id=snapshot.id, package=package, code=code, environment=environment, outputs={})
    manifest = make_manifest(
        subject=Subject(ref="model:cars@3", package=package),
        run_id=run.id,
        code=code,
        environment=environment,
        baseline=baseline,
        snapshots=({"id": snapshot.id, "digest": digest, "raw": raw.digest},),
        charter=make_project(),
    )
    release = make_release(manifest=manifest, state="live")
    bundle = Bundle(
        release=release,
        model=make_model(version=3, run_id=run.id, package=package),
        runs=(run,),
        snapshot=snapshot,
        verdicts=(make_verdict(subject_id=release.id),),
        approvals=(),
        parts=(),
    )
    parts = {one.digest: one for one in named_parts(bundle)}
    return replace(replace(bundle, parts=tuple(parts[d] for d in sorted(parts))), **changes)


def write(tmp_path: Path, bundle: Bundle, contents: tuple[bytes, ...] = CONTENTS) -> bytes:
    """The bundle's bytes, signed by the key in ``tmp_path``."""
    for content in contents:
        (tmp_path / digest_bytes(content)).write_bytes(content)
    file = io.BytesIO()
    signatures = Signatures(tmp_path / "keys")
    write_bundle(file, bundle, part=lambda digest: tmp_path / digest, sign=signatures.sign_bundle)
    return file.getvalue()


def read(tmp_path: Path, data: bytes) -> tuple[Bundle, dict[str, bytes]]:
    """What comes out, and the parts by digest."""
    path, folder = tmp_path / "file", tmp_path / "out"
    path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    with read_bundle(path, Signatures(tmp_path / "keys").verify_bundle) as reader:
        reader.extract(folder)
        parts = {one.digest: (folder / one.digest).read_bytes() for one in reader.bundle.parts}
        return reader.bundle, parts


def rewritten(data: bytes, changes: Mapping[str, bytes], *, more: Mapping[str, bytes] | None = None) -> bytes:
    """The zip with other files in it."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, changes.get(name, source.read(name)))
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.requirement("REG-04")
def test_what_is_read_is_what_was_written_and_the_same_release_gives_the_same_bytes(tmp_path: Path) -> None:
    bundle = bundled()
    data = write(tmp_path, bundle)
    assert write(tmp_path, bundle) == data
    assert read(tmp_path, data) == (bundle, {digest_bytes(one): one for one in CONTENTS})


@given(contents=st.lists(st.binary(max_size=3000), max_size=6, unique=True))
@settings(max_examples=20, deadline=None)
def test_any_parts_come_back(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    every = tuple({*CONTENTS, *contents})
    bundle = bundled(parts=tuple(sorted((make_artifact(one) for one in every), key=lambda one: one.digest)))
    assert read(folder, write(folder, bundle, every)) == (bundle, {digest_bytes(one): one for one in every})


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_changed_or_cut_file_is_refused_or_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    bundle = bundled()
    data = write(folder, bundle)
    at = int(place * len(data))
    changed = data[:at] if cut else data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    try:
        found = read(folder, changed)
    except UserError:
        return
    assert not cut
    assert found == (bundle, {digest_bytes(one): one for one in CONTENTS})


def test_another_key_is_refused_until_it_is_trusted(tmp_path: Path) -> None:
    data = write(tmp_path, bundled())
    here = Signatures(tmp_path / "here")
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(Conflict, match="which this home never had"), read_bundle(path, here.verify_bundle):
        pass
    name = here.stages.accept(Signatures(tmp_path / "keys").public_keys()[0].pem.encode())
    with read_bundle(path, here.verify_bundle) as reader:
        assert reader.key == name


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"../evil": b""}, "leaves the folder"),
        ({"/etc/passwd": b""}, "absolute path"),
        ({"parts/readme": b""}, "which no bundle has"),
        ({f"parts/{'0' * 64}": b""}, "not those that its index names"),
    ],
)
def test_files_that_no_bundle_has_are_refused(tmp_path: Path, more: dict[str, bytes], said: str) -> None:
    data = rewritten(write(tmp_path, bundled()), {}, more=more)
    with pytest.raises(InvalidInput, match=said):
        read(tmp_path, data)


@pytest.mark.parametrize(("project", "release_id"), [("../../cars", None), ("cars", "../keys")])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, project: str, release_id: str | None) -> None:
    bundle = bundled()
    made = replace(bundle.release, project=project, id=release_id or bundle.release.id)
    with pytest.raises(InvalidInput, match="cannot be|Expected a UUID"):
        read(tmp_path, write(tmp_path, replace(bundle, release=made)))


def test_a_part_that_is_another_is_refused(tmp_path: Path) -> None:
    data = rewritten(write(tmp_path, bundled()), {f"parts/{digest_bytes(b'package')}": b"PACKAGE"})
    with pytest.raises(InvalidInput, match="is not what its digest says"):
        read(tmp_path, data)


def test_an_index_that_was_changed_is_not_what_was_signed(tmp_path: Path) -> None:
    bundle = bundled()
    index = canonical_json(replace(bundle, release=replace(bundle.release, state="approved")))
    data = rewritten(write(tmp_path, bundle), {"index.json": index})
    with pytest.raises(Conflict, match="belongs to something else"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: {"release": replace(b.release, digest=digest_bytes(b"other"))}, "another digest"),
        (lambda b: {"release": replace(b.release, author="eve")}, "another author"),
        (lambda b: {"release": replace(b.release, project="boats")}, "no charter"),
        (lambda b: {"runs": (*b.runs, *b.runs)}, "a run twice"),
        (lambda b: {"runs": (*b.runs, make_run(project="boats"))}, "another project"),
        (lambda b: {"runs": ()}, "lacks the run"),
        (lambda b: {"model": replace(b.model, version=4)}, "another version"),
        (lambda b: {"model": replace(b.model, run_id="other")}, "another model"),
        (lambda b: {"snapshot": replace(b.snapshot, digest=digest_bytes(b"other"))}, "other data"),
        (lambda b: {"verdicts": (make_verdict(),)}, "verdicts about another"),
        (lambda b: {"parts": b.parts[1:]}, "lacks a part"),
        (lambda b: {"format": 2}, "format 2"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    bundle = bundled()
    data = write(tmp_path, replace(bundle, **change(bundle)))
    with pytest.raises(InvalidInput, match=said):
        read(tmp_path, data)


def test_a_size_that_is_not_the_parts_is_refused(tmp_path: Path) -> None:
    bundle = bundled()
    first: Artifact = bundle.parts[0]
    lying = replace(bundle, parts=(replace(first, size_bytes=1 << 40), *bundle.parts[1:]))
    with pytest.raises(InvalidInput, match="not those that its index names"):
        read(tmp_path, write(tmp_path, lying))
