"""What goes wrong where JSON is read that anybody may have sent."""

from __future__ import annotations

import msgspec

from headrace.core.text import printable

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that reading somebody else's JSON may raise."""


def unreadable(error: BaseException) -> str:
    r"""What is wrong with it, for whoever sent it, and nothing of what it says.

    >>> unreadable(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    'it is no UTF-8 (invalid start byte); encode it as UTF-8'
    """
    if isinstance(error, UnicodeDecodeError):
        return f"it is no UTF-8 ({error.reason}); encode it as UTF-8"
    return printable(str(error))
