"""Logs and audit details hold no secret and nothing recognised about people, and one record is one line."""

from __future__ import annotations

import logging
import re
from typing import Any

from headrace.access.privacy.recognisers import mask

LOGGER = "headrace"
_FORGES = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|\n(?! {2})"
)
_FORMATTER = logging.Formatter()


def cleaned(detail: Any) -> Any:
    """JSON with everything recognised in its texts masked.

    >>> cleaned({"why": ["asked by ada@example.org"], "n": 3})
    {'why': ['asked by <EMAIL>'], 'n': 3}
    """
    if isinstance(detail, str):
        return mask(detail)
    if isinstance(detail, dict):
        # A name in code is nobody's value; any other key may be.
        return {key if key.isidentifier() else mask(key): cleaned(value) for key, value in detail.items()}
    return [cleaned(value) for value in detail] if isinstance(detail, list) else detail


class MaskingFilter(logging.Filter):
    r"""Changes each record in place, so that whoever handles it next sees the masked text only.

    Control characters are written as ``\x..``, those that turn the direction of text as ``\u....``: a value
    cannot begin a line that looks like a record of its own, nor look like another. Indented lines, as of a
    trace, stay.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message and the trace; keeps every record."""
        record.msg, record.args = _line(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = mask(_FORMATTER.formatException(record.exc_info))
            record.exc_info = None
        return True


def mask_logs() -> None:
    """Put the filter before all handlers of our loggers' records; doing it again changes nothing."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(known, _First) for known in logger.handlers):
        first = _First()
        first.addFilter(MaskingFilter())
        logger.handlers.insert(0, first)


class _First(logging.NullHandler):
    """Handled before any other, because a logger's handlers come in order and before its parents'."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter, which is all that it is for."""
        return bool(self.filter(record))


def _line(text: str) -> str:
    return _FORGES.sub(_spelt, mask(text))


def _spelt(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
