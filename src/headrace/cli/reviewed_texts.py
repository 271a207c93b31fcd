"""Commands about texts that hold for a workspace: list, compare, propose, decide, take back.

The access policy and the rules for projects share them; each adds how its text is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace.access.rules import LARGEST
from headrace.app.governance.reviewed_texts import Decided, ReviewedTexts
from headrace.cli.exits import end_with
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import GateFailed, InvalidInput
from headrace.core.identity import PolicyText

Version = Annotated[int, typer.Argument(min=0, max=2**31, help="Its number, as 'ls' shows it.")]
OneVersion = Annotated[int | None, typer.Argument(min=0, max=2**31, help="The one in force if absent.")]
File = Annotated[Path, typer.Argument(help="The whole text, as 'show' prints it.")]
Comment = Annotated[str, typer.Option(help="Why; kept with the version.")]


def read_text(file: Path, kind: str) -> str:
    """The text of ``file``, which is to become a ``kind`` such as "policy".

    Raises:
        InvalidInput: it is too large, cannot be read, or is not UTF-8.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(4 * LARGEST + 1)
        if len(data) > 4 * LARGEST:
            raise InvalidInput(f"{file} is too large for a {kind}: at most {LARGEST:,} characters are taken.")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as a {kind}: {error}. Expected UTF-8 text.") from error


def add_looking(group: typer.Typer, texts: ReviewedTexts, *, empty: str) -> None:
    """Add ``ls`` and ``diff`` to a group of commands.

    Args:
        empty: what ``ls`` says where there is no version.
    """

    @group.command("ls")
    def list_versions(as_name: As = None, as_json: Json = False) -> None:
        """List all versions, oldest first."""
        with session(as_name) as s:
            found = texts.versions(s.app, s.me)
        if as_json:
            print_json(found)
            return
        print_table(
            ("VERSION", "STATE", "AUTHOR", "DECIDED BY", "SINCE", "COMMENT"),
            [(t.version, t.state, t.author, t.approver, f"{t.at:%Y-%m-%d %H:%M}", t.comment) for t in found],
            empty=empty,
        )

    @group.command("diff")
    def diff(version: Version, as_name: As = None, as_json: Json = False) -> None:
        """What a version would change of the text in force."""
        with session(as_name) as s:
            changes = texts.difference(s.app, s.me, version)
        if as_json:
            print_json({"version": version, "diff": changes})
        else:
            say((changes or "Nothing.").rstrip("\n"), lines=True)


def add_changing(group: typer.Typer, texts: ReviewedTexts, *, kind: str) -> None:
    """Add ``propose``, ``approve``, ``reject`` and ``revert`` to a group of commands.

    Args:
        kind: what a file has to hold, such as "policy".
    """

    def decide(
        version: int,
        decision: Literal["approved", "rejected"],
        comment: str,
        as_name: str | None,
        as_json: bool,
    ) -> None:
        with session(as_name) as s:
            decided = texts.decide(s.app, s.me, version, decision, comment)
        _tell_decided(decided, as_json)

    @group.command("propose")
    def propose(file: File, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
        """Put a text up for review; it holds once somebody else has approved it."""
        text = read_text(file, kind)
        with session(as_name) as s:
            proposed = texts.propose(s.app, s.me, text, comment)
        _tell_proposed(proposed, texts.command, as_json)

    @group.command("approve")
    def approve(version: Version, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
        """Put a waiting version into force, on every process at once; never one's own."""
        decide(version, "approved", comment, as_name, as_json)

    @group.command("reject")
    def reject(version: Version, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
        """Refuse a waiting version; never one's own."""
        decide(version, "rejected", comment, as_name, as_json)

    @group.command("revert")
    def revert(comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
        """Propose the text that was in force before this one."""
        with session(as_name) as s:
            proposed = texts.revert(s.app, s.me, comment)
        _tell_proposed(proposed, texts.command, as_json)


def _tell_proposed(text: PolicyText, command: str, as_json: bool) -> None:
    if as_json:
        print_json(text)
        return
    say(f"Version {text.version} waits for somebody other than {text.author!r}.")
    say(f"Look at it: {command} diff {text.version}")
    say(f"Next: {command} approve {text.version} --as NAME")


def _tell_decided(decided: Decided, as_json: bool) -> None:
    """What was decided; live releases that do not keep it end with the exit code of a gate that failed."""
    if as_json:
        print_json(decided)
    else:
        state = "in force" if decided.text.state == "live" else decided.text.state
        say(f"Version {decided.text.version} is {state}.")
    if decided.violating:
        listed = ", ".join(decided.violating)
        message = (
            f"It is in force. The live releases of {listed} do not keep it, and an incident is open for "
            "each. List them: headrace access incident ls"
        )
        end_with(GateFailed(message), as_json=as_json)
