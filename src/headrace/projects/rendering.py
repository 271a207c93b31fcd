"""Fills the templates that come with Headrace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def filled(template: str, context: Mapping[str, object]) -> str:
    """The text of ``templates/<template>`` with ``context`` filled in; the filter ``json`` quotes."""
    return _environment().get_template(template).render(context)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("headrace.projects"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the outputs are YAML, Python and shell, not HTML
    )
    environment.filters["json"] = _quoted
    return environment


def _quoted(value: object) -> str:
    """JSON that is YAML too, also where a name holds what YAML does not take or folds away."""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
