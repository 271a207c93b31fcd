"""The whole server over a home of its own, while a release is rehearsed: ``python -m`` this module.

It reads its settings as one line from its standard input, says where it listens, and ends with that input.
"""

from __future__ import annotations

import logging
import sys

from headrace.app.answers.trial import told_settings
from headrace.core.errors import HeadraceError
from headrace.web.server import create_app
from headrace.web.trial_server import serve_until_input_ends


def main() -> None:
    """Serve until the standard input ends."""
    logging.basicConfig(level=logging.WARNING)
    try:
        server = create_app(told_settings(sys.stdin.readline()))
        serve_until_input_ends(server, server.protocol, "on")
    except HeadraceError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
