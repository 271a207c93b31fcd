"""An answer that a program reads has the form that was promised to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jsonschema_rs
import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import Action, Context, Hit, Layer

_ANSWER: tuple[Layer, ...] = ("output",)
_MOST_SAID = 3


class Schema:
    """Rules ``schema.json`` and ``schema.invalid``: the text is JSON, and as a JSON schema says.

    Args:
        schema: of draft 2020-12, unless it names another. It refers to nothing outside of itself: nothing is
            fetched.
        tools: for the layer ``tool_arguments``, the tools whose arguments these are; without any, of all.

    Raises:
        InvalidInput: it is no schema.

    >>> guard = Schema({"type": "object", "required": ["price"]})
    >>> [hit.rule for hit in guard.check('{"prize": 3}', Context(layer="output"))]
    ['schema.invalid']
    """

    whole = True
    reach = None

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        action: Action = "block",
        layers: Iterable[Layer] = _ANSWER,
        tools: Iterable[str] = (),
        name: str = "schema",
    ) -> None:
        try:
            self._validator = jsonschema_rs.validator_for(dict(schema), retriever=_nothing)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InvalidInput(f"The JSON schema of guard {name!r} is none: {said}") from error
        self.schema = dict(schema)
        self.action: Action = action
        self.layers = frozenset(layers)
        self.tools = frozenset(tools)
        self.name = name

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        """One hit that says where the text is not as the schema says, and by which of its keywords."""
        if self.tools and context.layer == "tool_arguments" and context.tool not in self.tools:
            return []
        if context.aside:
            return []
        try:
            document = msgspec.json.decode(text if context.document is None else context.document)
        except (msgspec.DecodeError, RecursionError):
            return [self._hit("json", "the text is no JSON", context, text)]
        wrong = []
        for error in self._validator.iter_errors(document):
            place = "/".join(str(part) for part in error.instance_path) or "the document"
            keyword = error.schema_path[-1] if error.schema_path else "schema"
            wrong.append(f"{place} breaks {keyword!r}")
            if len(wrong) == _MOST_SAID:
                break
        return [self._hit("invalid", "; ".join(wrong), context, text)] if wrong else []

    def _hit(self, rule: str, detail: str, context: Context, text: str) -> Hit:
        return Hit(
            rule=f"{self.name}.{rule}",
            layer=context.layer,
            action=self.action,
            span=(0, len(text)),
            detail=detail,
        )


def _nothing(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, which is outside of it: copy what it needs under $defs")
