"""A/B tests from the command line."""

from __future__ import annotations

import pytest

from headrace.app.composition import open_app
from headrace.cli.split import parse_share
from headrace.core.errors import InvalidInput
from headrace.testing import make_settings
from tests.cli.conftest import Cli
from tests.web.seed import seed


@pytest.mark.requirement("DEP-03")
def test_a_test_is_begun_shown_and_ended(cli: Cli) -> None:
    with open_app(make_settings(cli.home)) as opened:
        known = seed(opened)
    split = ("release", "split", "flight-delay")
    assert "No A/B test of 'flight-delay' is under way" in cli(*split).error
    shares = ("--share", "2=0.8", "--share", "before:1=0.2")
    own = cli(*split, *shares)
    assert (own.code, "release.approve" in own.error) == (2, True)
    begun = cli(*split, *shares, "--as", "grace")
    assert begun.code == 0, begun.error
    lines = begun.out.splitlines()
    assert lines[0].startswith("A/B test of flight-delay since ")
    assert [line.split()[0] for line in lines[2:]] == ["v2", "before"]
    assert "80%" in lines[2]
    assert lines[3].endswith("undecided")
    said = cli(*split, "--json").json
    assert [(arm["name"], arm["share"]) for arm in said["arms"]] == [("v2", 0.8), ("before", 0.2)]
    ended = cli("release", "end", "flight-delay", "--as", "grace")
    assert ended.out == f"model:flight-delay@2 answers alone (release {known.live}).\n"
    assert cli("release", "end", "flight-delay", "--as", "grace", "--json").code == 2


@pytest.mark.parametrize("text", ["2", "2=", "2=half", "=x", ""])
def test_what_is_no_share_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(InvalidInput, match="Expected VERSION=SHARE, such as 2=0.5"):
        parse_share(text)
