from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given

from headrace.web.siblings import Counted, Siblings, merged
from tests.web.samples import samples

TEXT = """# HELP a_total Things.
# TYPE a_total counter
a_total{{project="cars",kind="x"}} {a}
a_total{{project="secret",kind="x"}} 7
# HELP headrace_requests_in_flight Now.
# TYPE headrace_requests_in_flight gauge
headrace_requests_in_flight{{part="infer"}} {now}
# HELP age_seconds Age.
# TYPE age_seconds gauge
age_seconds {age}
# HELP took_seconds Duration.
# TYPE took_seconds histogram
took_seconds_bucket{{project="cars",le="0.1"}} {a}
took_seconds_bucket{{project="cars",le="+Inf"}} {a}
took_seconds_sum{{project="cars"}} 0.5
took_seconds_count{{project="cars"}} {a}"""


def text(a: int, *, now: int = 0, age: float = 0.0) -> str:
    return TEXT.format(a=a, now=now, age=age)


def test_totals_add_up_and_foreign_projects_stay_unseen() -> None:
    both = [Counted(text(3, now=1, age=0.5), living=True), Counted(text(4, now=2, age=0.25), living=True)]
    lines = list(merged(both, {"cars"}))
    found = samples("\n".join(lines))
    assert found["a_total"] == {'{project="cars",kind="x"}': 7}
    assert found["headrace_requests_in_flight"] == {'{part="infer"}': 3}
    assert found["age_seconds"] == {"": 0.5}
    assert found["took_seconds_count"] == {'{project="cars"}': 7}
    assert found["took_seconds_sum"] == {'{project="cars"}': 1}
    assert "secret" not in "".join(lines)
    assert lines[:2] == ["# HELP a_total Things.", "# TYPE a_total counter"]


def test_of_one_that_has_ended_totals_stay_and_what_it_did_goes() -> None:
    found = samples(
        "\n".join(merged([Counted(text(3), living=True), Counted(text(4, now=2), living=False)], {"cars"}))
    )
    assert found["a_total"] == {'{project="cars",kind="x"}': 7}
    assert found["headrace_requests_in_flight"] == {'{part="infer"}': 0}


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5))
def test_the_order_does_not_matter(counts: list[int]) -> None:
    forth = [Counted(text(count), living=True) for count in counts]
    assert list(merged(forth, {"cars"})) == list(merged(reversed(forth), {"cars"}))
    assert samples("\n".join(merged(forth, {"cars"})))["a_total"] == {
        '{project="cars",kind="x"}': sum(counts)
    }


def test_each_reads_what_the_others_wrote(tmp_path: Path) -> None:
    own = Siblings(tmp_path)
    assert own
    assert own.others() == []
    own.write(text(3))
    assert own.others() == [], "not its own"
    (tmp_path / "1").write_text(text(5))
    (tmp_path / "999999999").write_text(text(6))
    (tmp_path / ".17").write_text("half of")
    assert own.others() == [Counted(text(5), living=True), Counted(text(6), living=False)]
    assert not Siblings(None)
    Siblings(None).write(text(3))
    assert Siblings(None).others() == []


def test_a_folder_that_somebody_tidied_away_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    siblings = Siblings(folder)
    assert siblings.others() == []
    siblings.write(text(1))
    assert [path.read_text() for path in folder.iterdir()] == [text(1)]
    assert folder.stat().st_mode & 0o077 == 0
