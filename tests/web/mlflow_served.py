"""Prints every route of the installed MLflow's server as ``METHOD PATTERN``; run it as a program."""

from __future__ import annotations

import re
import sys

_PATH = re.compile(r"<path:\w+>|\{\w+:path\}")
_SEGMENT = re.compile(r"<\w+>|\{\w+\}")


def plain(path: str) -> str:
    """Both frameworks' ways to write a path, in ours."""
    return re.sub("^/ajax-api/", "/api/", _SEGMENT.sub("{}", _PATH.sub("{*}", path)))


def main() -> None:
    """Ask both applications that MLflow's server consists of."""
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import app as fastapi_app

    found = {(method, rule.rule) for rule in flask_app.url_map.iter_rules() for method in rule.methods or ()}
    for included in fastapi_app.routes:
        context = getattr(included, "include_context", None)
        if context is not None:
            for route in included.original_router.routes:
                found |= {(method, context.prefix + route.path) for method in route.methods}
    served = {f"{m} {plain(p)}" for m, p in found if m not in ("HEAD", "OPTIONS")}
    sys.stdout.write("\n".join(sorted(served)))


if __name__ == "__main__":
    main()
