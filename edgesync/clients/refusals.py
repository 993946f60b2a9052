"""Glance's refusals, as errors that say what a person can do.

Which status means what: glance/api/v2/images.py of Glance 33. Glance writes its sentence into a web page
(`<h1>409 Conflict</h1> Image has active task<br />`), proxies in front of it write whatever they like.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence

from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, PermanentError, RequestError

# Longer texts are pages for browsers, not sentences.
LONGEST = 300

_UNREAD = re.compile(r"<(head|h1|style|script)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
# Words as store ids are written: dcn1 must not be found in dcn10 or in dcn1-b.
_WORD = re.compile(r"[\w-]+")

_NO_STORE = (
    "Add the store to enabled_backends of every glance-api (`openstack image import info` and `edgesync stores` show "
    "what Glance knows), or take it out of the request and of edgesync's configuration."
)
_LOCKED = (
    "Wait for the import that is under way. If there is none, a glance-api died in the middle of one: its lock can be "
    "taken over 60 minutes after its task's last update (120 minutes if the task is pending)."
)
_QUOTA = (
    "Raise the project's limits (image_size_total, image_stage_total, image_count_uploading in Keystone's unified "
    "limits), or make room by deleting images."
)


def plain(body: bytes) -> str:
    """The sentence in an error body, whether web page, JSON or text."""
    text = body[:100_000].decode("utf-8", "replace").strip()
    if text.startswith("{"):
        text = _from_json(text)
    text = _TAG.sub(" ", _UNREAD.sub(" ", text))
    text = " ".join(html.unescape(text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _from_json(text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text
    inner = document.get("error", document)
    said = inner.get("message") if isinstance(inner, dict) else inner
    return said if isinstance(said, str) else text


def means_clones(said: str) -> bool:
    """Whether this is how a Glance of 2022 stumbles over clones in a pool that its own key may not read (tried)."""
    return "error listing children" in said


def refused(what: str, status: int, said: str, *, policy: str = "") -> EdgesyncError:
    """The error for a status of 4xx (or a redirect) that means nothing special to the request at hand."""
    message = sentence(what, status, said)
    if status == 400:
        return RequestError(message, remedy="Correct the request; Glance's words tell what is wrong with it.")
    if status == 403:
        rule = f", or the rule {policy} in Glance's policy" if policy else ""
        return PermanentError(message, remedy=f"Give edgesync's user the admin role in its project{rule}.")
    if status == 404:
        return NotFoundError(message, remedy="Look whether it was deleted meanwhile.")
    if status == 409:
        return ConflictError(message, remedy="Look at the image's state and try again.")
    if status == 413:
        return PermanentError(message, remedy=_QUOTA)
    if 300 <= status < 400:
        return PermanentError(
            message,
            remedy="Something in front of Glance redirects: put the final address into Keystone's catalog, or set "
            "image_endpoint_override in clouds.yaml.",
        )
    return PermanentError(message, remedy="Look into glance-api's log and that of the proxy in front of it.")


def gone(image: ImageId) -> EdgesyncError:
    return NotFoundError(f"Image {image} is gone.", remedy="Nothing to do, unless it was deleted by mistake.")


def token_refused(what: str, said: str) -> EdgesyncError:
    return PermanentError(
        sentence(what, 401, said, who="Glance refused a fresh token"),
        remedy="Check [keystone_authtoken] and the clock of the glance-api hosts, and that edgesync's user has a role "
        "in the project named in clouds.yaml.",
    )


def copy_refused(image: ImageId, stores: Sequence[StoreId], status: int, said: str) -> EdgesyncError:
    what = f"copy image {image} to {', '.join(stores)}"
    if status == 400 and "already present" in said:
        store = _named(said, stores)
        return RequestError(
            f"Image {image} has its data in store {store} already.",
            remedy=f"Leave {store} out, or ask for all stores: those that hold the image are skipped then.",
        )
    if status in {404, 409} and ("Store for identifier" in said or "Unknown scheme" in said):
        return PermanentError(f"Glance knows no store {_named(said, stores)}.", remedy=_NO_STORE)
    if status == 409 and ("active task" in said or "still in progress" in said):
        return ConflictError(f"Another import of image {image} is under way.", remedy=_LOCKED)
    if status == 409 and "status active" in said:
        return ConflictError(
            f"Image {image} is not active, so it can't be copied.",
            remedy="Wait for its upload to end, or reactivate it: `openstack image set --activate`.",
        )
    if status == 404:
        return gone(image)
    return refused(what, status, said, policy="copy_image")


def delete_refused(image: ImageId, store: StoreId, status: int, said: str) -> EdgesyncError:
    what = f"delete the copy of image {image} in store {store}"
    if status == 403 and "only store" in said:
        return PermanentError(
            f"Store {store} holds the only copy of image {image}; Glance doesn't delete the last one.",
            remedy="Copy the image to another store first, or delete the image itself.",
        )
    if status == 404 and "not stored in" in said:
        return NotFoundError(f"Image {image} has no copy in store {store}.", remedy="Nothing to do.")
    if status == 404:
        return gone(image)
    if status == 409 and "not available" in said:
        return PermanentError(f"Glance knows no store {store}.", remedy=_NO_STORE)
    if status == 409 and "status is not" in said:
        return ConflictError(
            f"Image {image} is not active, so its copies can't be deleted.",
            remedy="Wait for its upload to end, or reactivate it: `openstack image set --activate`.",
        )
    if status == 409 or means_clones(said):
        return ConflictError(
            sentence(what, status, said),
            remedy="Something at the site still uses it, such as disks cloned from it: `rbd children` on its snapshot "
            "names them. Flatten or delete those first.",
        )
    return refused(what, status, said, policy="delete_image_location")


def location_refused(image: ImageId, store: StoreId, status: int, said: str) -> EdgesyncError:
    what = f"register the copy of image {image} in store {store}"
    if status == 403 and "invisible" in said:
        return PermanentError(
            sentence(what, status, said),
            remedy="Set show_multiple_locations = true in glance-api.conf, on an API that only operators can reach.",
        )
    return refused(what, status, said, policy="set_image_location")


def _named(said: str, stores: Sequence[StoreId]) -> str:
    """The store that Glance's sentence is about."""
    words = set(_WORD.findall(said))
    return next((store for store in stores if store in words), ", ".join(stores))


def sentence(what: str, status: int, said: str, *, who: str = "Glance refused") -> str:
    """What could not be done, and Glance's own words."""
    words = f": {said}" if said else ""
    return f"Can't {what}. {who} (HTTP {status}){words}"
