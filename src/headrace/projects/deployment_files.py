"""The files that deploy a project as its charter says."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from headrace.core.project import DeploymentSpec, Project
from headrace.projects.charter import load_project
from headrace.projects.rendered import Rendered, write_rendered
from headrace.projects.rendering import filled

STAGES = ("dev", "qa", "prod")
_EXECUTABLE = ("deploy/roll-out",)
_BASE = ("deployment", "service", "storage", "networkpolicy", "kustomization")
_MAIL = re.compile(r"(?:mailto:)?([^@\s/]+@[^@\s/]+\.[^@\s/]+)")
_LONGEST_NAME = 50
_NO_TEXTS = frozenset("y n yes no on off true false null".split())
"""What YAML 1.1, which clusters read, takes for something else than a text."""


def render_deployment(folder: Path, *, force: bool = False) -> Rendered:
    """Write what the charter in ``folder`` asks for, for this Python; nothing over a file edited by hand.

    Raises:
        NotFound, InvalidInput: as :func:`headrace.projects.charter.load_project` and
            :func:`headrace.projects.rendered.write_rendered`.
    """
    python = ".".join(platform.python_version_tuple()[:2])
    files = deployment_files(load_project(folder), python=python)
    return write_rendered(folder, files, executable=_EXECUTABLE, force=force)


def deployment_files(project: Project, *, python: str) -> dict[str, str]:
    """Path to text of all that deploys the project: image, manifests, build servers, Terraform, branching.

    The same project always gives the same files. ``python`` is the interpreter's version, such as ``3.11``.

    >>> from headrace.testing import make_project
    >>> sorted(deployment_files(make_project(), python="3.11"))[:2]
    ['.github/CODEOWNERS', '.github/rulesets/main.json']
    """
    context = _context(project, python)
    files = {
        ".github/CODEOWNERS": "ci/codeowners",
        ".github/rulesets/main.json": "ci/ruleset.json",
        ".github/workflows/headrace.yml": "ci/github.yml",
        ".gitlab-ci.yml": "ci/gitlab.yml",
        "CONTRIBUTING.md": "CONTRIBUTING.md",
        "Jenkinsfile": "ci/Jenkinsfile",
        "deploy/Dockerfile": "Dockerfile",
        "deploy/Dockerfile.dockerignore": "dockerignore",
        "deploy/README.md": "README.md",
        "deploy/gitlab_reviewed.py": "ci/gitlab_reviewed.py",
        "deploy/roll-out": "roll-out",
        "deploy/terraform/main.tf": "main.tf",
    } | {f"deploy/kubernetes/base/{name}.yaml": f"base/{name}.yaml" for name in _BASE}
    made = {path: filled(f"deploy/{template}.j2", context) for path, template in files.items()}
    for stage in STAGES:
        for name in ("kustomization", "namespace"):
            text = filled(f"deploy/overlay/{name}.yaml.j2", context | {"stage": stage})
            made[f"deploy/kubernetes/overlays/{stage}/{name}.yaml"] = text
    return made


def _slug(name: str) -> str:
    """As names in a cluster are: without underscores, not as long, and never a word of YAML's own."""
    slug = name.replace("_", "-")[:_LONGEST_NAME].rstrip("-")
    return f"{slug}-project" if slug in _NO_TEXTS else slug


def _context(project: Project, python: str) -> dict[str, object]:
    plan = project.deployment or DeploymentSpec()
    mails = [_MAIL.fullmatch(one.contact.strip()) for one in (project.owner, *project.team)]
    return {
        "name": project.name,
        "slug": _slug(project.name),
        "python": python,
        "target": plan.target,
        "deploys": plan.target == "kubernetes",
        "database": plan.database,
        "servers": plan.servers,
        "processes": plan.processes,
        "stages": STAGES,
        "owners": sorted({mail[1] for mail in mails if mail is not None}),
        "contact": project.owner.contact,
        "reviews": 2 if project.risk == "high" else 1,
        "steps": ", ".join(f"{step} %" if step else "shadow" for step in (*project.rollout.steps, 100)),
    }
