"""Files of text in a message, as callers attach them: in base64, or as a ``data:`` address.

What is a text by its type is read, and refused where it cannot be; of what says nothing about itself what
looks like a text is. Pictures but for SVG, sound and PDF documents stay as they are.
"""

from __future__ import annotations

import binascii
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.codes import code_of, read
from headrace.gateway.guardrails.documents import Attached, document_of

_HEAD = re.compile(r"\s*data:(?P<type>[^,;]*+)(?P<more>[^,]*+),", re.IGNORECASE)
_DATA = re.compile(r"(?:data:(?:[a-z]+/[a-z0-9.+]{1,80})?;base64,)?[A-Za-z0-9+/\s]{256,}={0,2}\s*")
"""Long enough that it is a picture, a sound or a file: what is shorter is looked at like any text."""
_BARE = ("file_data", "data")
"""Where base64 stands without an address around it."""
_TEXTS = ("json", "xml", "yaml", "csv", "javascript")
"""How types end that are texts beside those that begin with ``text/``."""
_OTHERS = ("image/", "audio/", "video/", "font/", "application/pdf")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*")
_STANDARD = str.maketrans("-_", "+/")


def is_data(value: Any) -> bool:
    """Whether it is a picture, a sound or a file as base64, in which no guard can read unless it is a text.

    >>> is_data("data:image/png;base64," + "iVBORw0K" * 40), is_data("https://shop.example/a.png?for=ada")
    (True, False)
    """
    return isinstance(value, str) and _DATA.fullmatch(value) is not None


def with_attachments(value: Any, name: str = "") -> Any:
    """A part of a message with its files of text as :class:`Attached`.

    Raises:
        InvalidInput: one that is a text by its type cannot be read.

    >>> with_attachments({"file_data": "data:text/plain;base64,SGVsbG8="})["file_data"].content
    'Hello'
    """
    if isinstance(value, dict):
        return {inner: with_attachments(one, inner) for inner, one in value.items()}
    if isinstance(value, list):
        return [with_attachments(one, name) for one in value]
    if isinstance(value, str):
        return _attached(value, is_bare=name in _BARE) or value
    return value


def _attached(value: str, *, is_bare: bool) -> Attached | None:
    found = _HEAD.match(value)
    if found is None and not is_bare:
        return None
    kind, head, more = ("", "", ";base64") if found is None else (found["type"], found[0], found["more"])
    kind = kind.strip().lower()
    is_text = kind.startswith("text/") or kind.endswith(_TEXTS)
    if kind.startswith(_OTHERS) and not is_text:
        return None
    if is_text and '"' in head:
        raise InvalidInput(
            f"The address of a file of the type {kind[:40]!r} has a quotation mark. Leave it out."
        )
    if "base64" in more.replace(" ", "").lower().split(";"):
        data = _decoded(value[len(head) :])
    else:
        data, head = unquote_to_bytes(value[len(head) :]), f"{head[:-1]};base64,"
    if data is None and is_text:
        raise InvalidInput(
            f"A file of the type {kind[:40]!r} is no base64, so that nobody can look into it. Expected "
            f"'data:{kind[:40]};base64,' and the file in base64."
        )
    code = code_of(data) if data else None
    if not data or (code is None and not is_text):
        return None
    said = read(data, code or "utf-8")
    beside = head or ("" if is_data(value) else value)
    return Attached(value, head, beside, said.codec, document_of(said.text), document_of(said.other))


def _decoded(text: str) -> bytes | None:
    plain = "".join(text.split()).translate(_STANDARD).rstrip("=")
    if len(plain) % 4 == 1 or not _BASE64.fullmatch(plain):
        return None
    return binascii.a2b_base64(plain + "=" * (-len(plain) % 4))
