"""The child process that is the team's MLflow server: ``python -m headrace.plugins.mlflow_server``.

It serves MLflow's own application on a unix socket, one workspace per request, and ends with its parent.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path

from headrace.plugins.mlflow import SERVER_ENVIRONMENT, garbage_waits
from headrace.plugins.mlflow_database import database_turn, make_database


def main(told: str) -> int:
    """Serve as ``told`` (JSON: ``url``, ``artifacts``, ``socket``, ``life``) until the parent ends."""
    job = json.loads(told)
    threading.Thread(target=_end_with_parent, args=(job["life"],), daemon=True).start()
    artifacts = Path(job["artifacts"])
    artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
    # MLflow's command line passes these names to its own server in the same way.
    os.environ.update(
        SERVER_ENVIRONMENT
        | {
            "_MLFLOW_SERVER_FILE_STORE": job["url"],
            "_MLFLOW_SERVER_REGISTRY_STORE": job["url"],
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Hosts and origins are checked at our door; nobody else can reach the socket.
            "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
        }
    )
    import uvicorn

    with garbage_waits():
        with database_turn(job["url"]):
            make_database(job["url"])
        from mlflow.server.fastapi_app import app
    gc.freeze()
    uvicorn.run(
        app,
        uds=job["socket"],
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",  # it looks for containers of an assistant that is closed here
    )
    return 0


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
