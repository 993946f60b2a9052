"""HTML from the page's views. Everything is escaped by the templates; only what they mark as theirs is not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edgesync import __version__
from edgesync.domain.copy import CopyState
from edgesync.expose.figures import in_words, seconds, size
from edgesync.expose.page.filters import Group
from edgesync.expose.page.sessions import Notice, Session

# Nothing but what edgesync itself serves, and nothing that is written into a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HERE = Path(__file__).parent


def stamp(at: datetime | None) -> str:
    """A time, to the second, in UTC as everywhere in edgesync."""
    if at is None:
        return "-"
    text = at.strftime("%Y-%m-%d %H:%M:%SZ")
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), text)


def moment(text: str) -> str:
    """The same of a time that comes as a text."""
    return stamp(datetime.fromisoformat(text))


def span(at: datetime | None, until: datetime) -> str:
    """How long it is from one time to another."""
    return "-" if at is None else in_words(abs((until - at).total_seconds()))


def share(done: int | None, total: int | None) -> int:
    """Percent, rounded down: only what is whole is 100."""
    return min(100, 100 * (done or 0) // total) if total else 0


@cache
def environment() -> Environment:
    """The templates, compiled before anybody waits for them, and once: that takes a quarter of a second."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "size": size,
        "seconds": seconds,
        "stamp": stamp,
        "moment": moment,
        "in_words": in_words,
        "span": span,
        "share": share,
    }
    made.globals |= {"version": __version__, "states": tuple(CopyState), "WRONG": Group.WRONG, "asset": asset}
    for name in made.list_templates():
        made.get_template(name)
    return made


def asset(name: str) -> str:
    """The address of a static file, which changes with its content."""
    return f"/static/{name}?{_digest(name)}"


def assets() -> dict[str, bytes]:
    """All static files, read once."""
    return {file.name: file.read_bytes() for file in sorted((HERE / "static").iterdir())}


_ASSETS = assets()
_DIGESTS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _ASSETS.items()}


def _digest(name: str) -> str:
    return _DIGESTS[name]


class Rendering:
    """Pages and parts of them."""

    def __init__(self) -> None:
        self._environment = environment()

    def part(self, template: str, **context: Any) -> Markup:
        """What comes between the head and the foot of a page."""
        return Markup(self._environment.get_template(template).render(**context))  # noqa: S704 - by templates that escape

    def answer(
        self,
        title: str,
        content: Markup,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        visitor: Session | None = None,
        notices: Sequence[Notice] = (),
        # Of a page that keeps itself up to date: what tells it from a later one.
        tag: str = "",
    ) -> web.Response:
        """The whole page."""
        base = self._environment.get_template("base.html")
        body = base.render(title=title, content=content, visitor=visitor, notices=notices, tag=tag)
        response = web.Response(status=status, text=body, content_type="text/html")
        response.headers["Content-Security-Policy"] = POLICY
        # With less, browsers would not say of a form where it comes from.
        response.headers["Referrer-Policy"] = "same-origin"
        if tag:
            response.headers["ETag"] = tag
        response.enable_compression()
        return response
