"""Texts of our own to learn from, filled from the templates in ``_injection_texts.yaml``.

They add what the other sources lack: short orders, orders to agents with tools, texts in which the words of
an attack mean no harm, and other languages. They are only learnt from; no number that is measured counts
them.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Text(NamedTuple):
    """One text; ``label`` is 1 for an attack."""

    text: str
    label: int
    family: str


def own_texts(n_attacks: int, seed: int = 0) -> list[Text]:
    """Attacks, as many harmless texts, and carriers without either; plain and inside of others."""
    rng = random.Random(seed)
    known: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    slots, families = known["slots"], sorted(known["attacks"])

    def placed(text: str) -> str:
        carrier = rng.choice(known["carriers"]).replace("{X}", "\0")
        return _filled(carrier, slots, rng).replace("\0", text)

    texts: list[Text] = []
    for number in range(n_attacks):
        family = families[number % len(families)]
        attack = _filled(rng.choice(known["attacks"][family]), slots, rng)
        plain = _filled(rng.choice(known["harmless"]), slots, rng)
        inside = number % 2 == 1
        texts.append(Text(placed(attack) if inside else attack, 1, family))
        texts.append(Text(placed(plain) if inside else plain, 0, "harmless"))
        if number % 4 == 0:
            texts.append(Text(placed(""), 0, "carrier"))
    return list(dict.fromkeys(texts))


def _filled(template: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    while True:
        text = re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda found: rng.choice(slots[found[1]]), template)
        if text == template:
            break
        template = text
    text = text.replace("{{", "{").replace("}}", "}").replace(" .", ".")
    text = re.sub(r"(?:^|(?<=[.!?:] ))[a-z]", lambda found: found[0].upper(), text)
    return re.sub(r" {2,}", " ", text).strip()
