"""YAML from elsewhere: what its anchors would make it grow to is counted before it is followed."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

MOST_NODES = 200_000
"""Of a text with every alias written out."""


class Parsed(NamedTuple):
    """What a text says, and the nodes that it consists of; ``node`` is None where it is empty."""

    value: Any
    node: yaml.Node | None


def parse_yaml(text: str | bytes) -> Parsed:
    """The one document in ``text``, of plain values only.

    A few lines of anchors can stand for more nodes than there is memory or time for, and one that holds
    itself for no end of them.

    >>> parse_yaml("a: [1, &two 2, *two]").value
    {'a': [1, 2, 2]}

    Raises:
        yaml.YAMLError: it does not parse, or its anchors make it too large.
        RecursionError, ValueError: it is nested too deeply, or a value cannot be made.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Parsed(None, None)
        _grown(node, {})
        return Parsed(loader.construct_document(node), node)
    finally:
        loader.dispose()


def _grown(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes ``node`` stands for; in ``known``, 0 is one that is being counted."""
    size = known.get(id(node))
    if size is None:
        known[id(node)] = 0
        parts = node.value if isinstance(node, yaml.SequenceNode) else ()
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        size = known[id(node)] = 1 + sum(_grown(part, known) for part in parts)
    if size == 0 or size > MOST_NODES:
        said = "an anchor holds itself" if size == 0 else f"its anchors make more than {MOST_NODES:,} nodes"
        raise yaml.composer.ComposerError(None, None, said, node.start_mark)
    return size
