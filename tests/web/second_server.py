"""A second server process of a home: ``python -m tests.web.second_server HOME PORT``."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from headrace.app.composition import open_app
from headrace.app.workflows import launch
from headrace.testing import make_settings
from headrace.web.server import build_server


def main(home: Path, port: int) -> None:
    """Serve until it is told to end."""
    with open_app(make_settings(home)) as app, launch(app, role="server") as work:
        uvicorn.run(build_server(app, work), port=port, loop="uvloop", http="httptools", log_level="error")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
