"""What the deterministic guards cost, what they find of what was planted, and their false alarms.

    python benchmarks/guardrails.py
    python benchmarks/guardrails.py --json

Time is that of one core, the median of 200 runs, for all guards but the injection classifier, which has a
program of its own, on 2,000 characters: as one text, and as a stream of pieces of four characters. Planted
are one value, address, line or price for each guard in 200 places of prose. Clean are that prose, the
harmless texts of ``_harmless.yaml``, and made texts of ``headrace.testing.personal`` that hold nothing; some
of those name a host that is not declared, or a number that is a card's by chance.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

import yaml

from headrace.gateway.guardrails.egress import Canary, Egress, canary_token
from headrace.gateway.guardrails.guards import Context, Guard
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.streams import CheckedStream
from headrace.gateway.guardrails.support import Support
from headrace.gateway.guardrails.values import Values
from headrace.gateway.guardrails.wording import Wording
from headrace.testing.personal import personal_texts

PLACES = 200
TOKEN = canary_token(b"benchmark", "release")
SENTENCES = (
    "The museum was founded by a merchant and shows pictures of the region.",
    "Visitors may take photographs, but not of the rooms below the roof.",
    "Tickets are sold at the door and at https://tickets.example.com/buy every day.",
    "The Basic plan costs 9.90 EUR a month and ends when you say so.",
    "It took the builders longer than they had hoped, as is usual.",
)
SOURCE = " ".join(SENTENCES)
OUTPUT = Context(layer="output", sources=(SOURCE,))
GUARDS: dict[str, tuple[Guard, tuple[str, ...]]] = {
    "personal": (PersonalData(), ("ada@example.org", "4111 1111 1111 1111", "password: hunter2X9!")),
    "egress": (
        Egress(["tickets.example.com"]),
        ("![a](https://evil.example/?d=1)", "http://drop.example/in"),
    ),
    "canary": (Canary([TOKEN]), (TOKEN, TOKEN[::-1], "-".join(TOKEN))),
    "values": (
        Values({"Basic plan": ["9.90 EUR"]}),
        ("The Basic plan costs 8.90 EUR.", "The Basic plan is $9.90."),
    ),
    "support": (Support(), ("It has 37 rooms.", "It was opened on 3 May 1931.", "Ask for Jane Foster.")),
    "wording": (Wording({"competitors": ["acme*"]}), ("Acmes is cheaper.",)),
}


def found() -> dict[str, Any]:
    """Of each guard: how many planted things it finds, and its false alarms."""
    rng, result = random.Random(0), {}
    harmless = yaml.safe_load(Path(__file__).with_name("_harmless.yaml").read_text(encoding="utf-8"))
    made = [sample.text for sample in personal_texts(300, 0) if sample.kind is None]
    for name, (guard, planted) in GUARDS.items():
        caught = 0
        for number in range(PLACES):
            sentences = [rng.choice(SENTENCES) for _ in range(8)]
            sentences.insert(rng.randrange(9), planted[number % len(planted)])
            caught += bool(guard.check(" ".join(sentences), OUTPUT))
        # Only prose has sources: what a made text says stands in none of them.
        others = [] if name == "support" else [*harmless, *made]
        clean = [" ".join(rng.choice(SENTENCES) for _ in range(8)) for _ in range(PLACES)] + others
        alarms = sum(bool(guard.check(text, OUTPUT)) for text in clean)
        result[name] = {"planted": PLACES, "found": caught, "clean": len(clean), "false_alarms": alarms}
    return result


def times_ms() -> dict[str, float]:
    """Milliseconds for 2,000 characters, at once and in pieces of four."""
    pipeline = Pipeline([guard for guard, _ in GUARDS.values()])
    text = (SOURCE * 8)[:2000]

    def streamed() -> None:
        stream = CheckedStream(pipeline, OUTPUT)
        for at in range(0, len(text), 4):
            stream.feed(text[at : at + 4])
        stream.close()

    def median(run: Any, times: int) -> float:
        took = []
        for _ in range(times):
            began = time.process_time()
            run()
            took.append(1000 * (time.process_time() - began))
        return statistics.median(took)

    windowed = Pipeline([guard for guard, _ in GUARDS.values() if not guard.whole])
    return {
        "all_guards": median(lambda: pipeline.check(text, OUTPUT), 200),
        "without_whole_text_guards": median(lambda: windowed.check(text, OUTPUT), 200),
        "stream": median(streamed, 10),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {"ms_for_2000_characters": times_ms(), "guards": found()}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, took in result["ms_for_2000_characters"].items():
        print(f"{name:<26} {took:6.3f} ms")
    for name, one in result["guards"].items():
        print(
            f"{name:<10} found {one['found']} of {one['planted']} planted, "
            f"{one['false_alarms']} false alarms in {one['clean']} clean texts"
        )


if __name__ == "__main__":
    main()
