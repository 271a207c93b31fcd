"""Moves the fragments of changelog.d/ into CHANGELOG.md as the notes of one version.

``python scripts/changelog.py 0.2.0 2026-12-01`` writes and removes the fragments; without arguments it
only prints the notes. A fragment is ``SUBJECT.KIND.md``: what is different for a user, in one sentence.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("added", "changed", "fixed", "removed", "security")
ANCHOR = "<!-- releases -->\n"


def fragments(folder: Path) -> dict[str, list[str]]:
    """Kind of change to its sentences.

    Raises:
        ValueError: a file has another form of name, or is empty.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*")):
        parts = path.name.split(".")
        if len(parts) != 3 or parts[1] not in KINDS or parts[2] != "md":
            raise ValueError(f"{path.name!r} is no fragment. Expected SUBJECT.KIND.md with KIND of {KINDS}.")
        sentence = " ".join(path.read_text(encoding="utf-8").split())
        if not sentence.endswith("."):
            raise ValueError(f"{path.name!r} holds {sentence!r}. Expected a sentence, with its full stop.")
        found.setdefault(parts[1], []).append(sentence)
    return found


def notes(found: dict[str, list[str]]) -> str:
    """The sentences as Markdown, by kind."""
    parts = []
    for kind in KINDS:
        if kind in found:
            lines = "\n".join(f"- {sentence}" for sentence in found[kind])
            parts.append(f"### {kind.capitalize()}\n\n{lines}\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Print the notes, or write them under a version and a date."""
    folder = ROOT / "changelog.d"
    text = notes(fragments(folder))
    if not arguments:
        print(text, end="")
        return 0
    if len(arguments) != 2 or not text:
        print("Expected fragments in changelog.d/, and two arguments: VERSION YYYY-MM-DD.", file=sys.stderr)
        return 2
    path = ROOT / "CHANGELOG.md"
    before, anchor, after = path.read_text(encoding="utf-8").partition(ANCHOR)
    heading = f"\n## {arguments[0]} ({arguments[1]})\n\n"
    path.write_text(f"{before}{anchor}{heading}{text}{after}", encoding="utf-8")
    for fragment in folder.glob("*.md"):
        fragment.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
