"""Turns a template and plain values into an answer. Everything is escaped unless a filter says otherwise."""

from __future__ import annotations

import re
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from headrace.checks.columns import readable
from headrace.core.canonical import plain
from headrace.core.errors import NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ports import Clock
from headrace.core.text import printable
from headrace.monitoring.wording import lasting
from headrace.projects.sections import word
from headrace.web.identity import find_principal
from headrace.web.pages import formats
from headrace.web.parts import Parts

_FOLDER = Path(__file__).resolve().parents[1]
PLOTLY = "plotly.min.js"
PLACES: tuple[tuple[str, str, str | None, str], ...] = (
    ("/", "Overview", None, ""),
    ("/alerts", "Alerts", None, ""),
    ("/approvals", "Approvals", None, ""),
    ("/access", "Access", "access.read", "workspace:{workspace}"),
    ("/policy", "Policy", "policy.read", "policy:{workspace}"),
    ("/incidents", "Incidents", "incident.work", "incident:all"),
    ("/audit", "Audit", "audit.read", "audit:log"),
)
"""The menu: address, name, and the right that the page needs, if it needs one."""
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_STYLES = re.compile(rb'getElementById\("([0-9a-f]{64})"\)')
_KEPT = {"cache-control": "public, max-age=31536000, immutable"}
_EMBEDDED = {
    "feedback.js": {
        "cache-control": "public, max-age=3600",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
    }
}
"""Files that other sites have in their pages, under an address that stays."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def one_direction(value: Any) -> Any:
    """What stands in a page, with characters spelt out that would turn the text around them.

    A reason or a comment is written by one person and read by another, who decides by it.
    """
    if isinstance(value, str) and _TURNS.search(value):
        return type(value)(_TURNS.sub(lambda found: printable(found[0]), str(value)))
    return value


class Renderer:
    """The templates, loaded once.

    Args:
        provider: name of the OpenID provider where people sign in; empty if there is none.
    """

    def __init__(self, clock: Clock, provider: str = "") -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=one_direction,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.assets = Assets()
        self._environment.globals.update(
            version=version("headrace"),
            asset=self.assets.address,
            plotly_styles=self.assets.plotly_styles,
            provider=provider,
        )
        self._environment.filters.update(
            number=formats.number,
            counted=formats.counted,
            signed=formats.signed,
            percent=formats.percent,
            words=formats.words,
            setting=word,
            metric=formats.metric,
            subject=formats.subject,
            window=formats.window,
            lasting=lasting,
            moment=formats.moment_with(clock.now),
            instant=formats.instant_with(clock.now),
            plain=plain,
            readable=readable,
        )

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """``template`` with ``values``; who asks is always known to it."""
        me = find_principal(request.scope)
        places = [] if me is None else _places(parts_of(request), me)
        text = self._environment.get_template(template).render(
            me=me, places=places, path=request.url.path, **values
        )
        return HTMLResponse(text, status)


def _places(parts: Parts, me: Principal) -> list[tuple[str, str]]:
    """Addresses and names of the pages that ``me`` may open; the menu is the check."""
    allows = parts.app.gatekeeper.allows
    return [
        (address, name)
        for address, name, action, on in PLACES
        if action is None or allows(me, action, on.format(workspace=me.workspace))
    ]


class Assets:
    """Our scripts and styles, and Plotly's script out of its package, which is never imported."""

    def __init__(self, plotly: Path | None = None) -> None:
        self._files = {path.name: path for path in sorted((_FOLDER / "static").iterdir())}
        self._bytes = {name: path.read_bytes() for name, path in self._files.items()}
        self._versions = {name: sha256(data).hexdigest()[:12] for name, data in self._bytes.items()}
        self._plotly = plotly or _plotly_script()
        self._versions[PLOTLY] = version("plotly")

    @cached_property
    def plotly(self) -> bytes:
        """Plotly's script.

        Raises:
            Unavailable: its package is incomplete.
        """
        if not self._plotly.is_file():
            raise Unavailable("Plotly's script is not installed. Run: pip install --force-reinstall plotly")
        return self._plotly.read_bytes()

    def plotly_styles(self) -> list[str]:
        """Ids of style elements that Plotly's script adds to a page, unless it finds them there.

        Our content policy refuses inline style, and we draw none of the plots that need it.
        """
        if not self._plotly.is_file():
            return []
        return sorted({name.decode() for name in _STYLES.findall(self.plotly)})

    def address(self, name: str) -> str:
        """Where ``name`` is served; changes whenever its content does."""
        return f"/static/{name}?v={self._versions[name]}"

    def answer(self, name: str) -> Response:
        """The file. Browsers keep it as long as its address names its version.

        Raises:
            NotFound: there is no such file.
            Unavailable: Plotly's package is incomplete.
        """
        if name == PLOTLY:
            return Response(self.plotly, media_type=_TYPES[".js"], headers=_KEPT)
        if name not in self._bytes:
            raise NotFound(f"There is no file {name[:80]!r} here.")
        kept = _EMBEDDED.get(name, _KEPT)
        return Response(self._bytes[name], media_type=_TYPES[self._files[name].suffix], headers=kept)


def _plotly_script() -> Path:
    spec = find_spec("plotly")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    return folder / "package_data" / PLOTLY


def parts_of(request: Request) -> Parts:
    """The server's parts."""
    parts: Parts = request.app.state.parts
    return parts


def renderer_of(request: Request) -> Renderer:
    """The templates."""
    renderer: Renderer = request.app.state.renderer
    return renderer
