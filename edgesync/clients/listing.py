"""Glance's image list, page by page, while images come and go.

Glance sorts by time of creation, newest first, and begins a page after its marker, an image. A deleted image can't be
a marker; then the list goes on from the one before it, and some images come twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from edgesync.clients.refusals import refused
from edgesync.clients.transport import Answer, Call, Transport, parsed
from edgesync.clients.wire import load_list
from edgesync.errors import TransientError


async def pages(transport: Transport, params: dict[str, str]) -> AsyncIterator[list[Any]]:
    """Yield the entries of each page, not yet looked at."""
    # Where to go on: the server's marker, then the entries before it, in case it is deleted meanwhile.
    markers: list[str] = []
    while True:
        document = await _page(transport, params, markers)
        yield document["images"]
        following = _marker(document)
        if following is None:
            return
        if following in markers:
            raise TransientError(
                "Can't list the images: Glance's pages lead in a circle.",
                remedy="Look into glance-api's log, and for a cache in front of Glance.",
            )
        markers = [following, *_ids_before(document["images"], following)]


async def _page(transport: Transport, params: dict[str, str], markers: list[str]) -> dict[str, Any]:
    """Get the page after the first marker that still exists."""
    if not markers:
        call = _call(params)
        return _document(call, await transport.send(call))
    for step in _steps(len(markers)):
        call = _call({**params, "marker": markers[step]})
        answer = await transport.send(call)
        # 400 "No image found with ID": the marker was deleted.
        if answer.status not in {400, 404}:
            return _document(call, answer)
    raise TransientError("Can't list the images: those already listed are being deleted.", remedy="Try again.")


def _call(params: dict[str, str]) -> Call:
    return Call(operation="images", what="list the images", path="/v2/images", params=params)


def _document(call: Call, answer: Answer) -> dict[str, Any]:
    if answer.status >= 300:
        raise refused(call.what, answer.status, answer.said, policy="get_images")
    document = parsed(call, answer, load_list)
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise TransientError(
            "Can't list the images. The answer has no list of images.",
            remedy="Look whether the image endpoint in Keystone's catalog leads to Glance.",
        )
    return document


def _marker(document: dict[str, Any]) -> str | None:
    """Where the next page begins.

    Only the marker is taken from the link: its path lacks what a proxy in front of Glance puts before /v2.
    """
    link = document.get("next")
    found = parse_qs(urlsplit(link).query).get("marker") if isinstance(link, str) else None
    return found[0] if found else None


def _ids_before(entries: list[Any], marker: str) -> list[str]:
    ids = [entry["id"] for entry in reversed(entries) if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return [one for one in ids if one != marker]


def _steps(count: int) -> list[int]:
    """0, 1, 3, 7... and the last: few requests even if somebody deletes most of a page."""
    steps = [step for step in (2**power - 1 for power in range(count.bit_length())) if step < count - 1]
    return [*steps, count - 1]
