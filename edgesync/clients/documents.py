"""From answers to records, or to the errors that say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from edgesync.clients import refusals
from edgesync.clients.transport import Answer, Call, parsed
from edgesync.clients.wire import MalformedError
from edgesync.domain.image import ImageId
from edgesync.errors import PermanentError

T = TypeVar("T")


def accepted(call: Call, answer: Answer, *, policy: str = "") -> Answer:
    """The answer, unless it is a refusal."""
    if answer.status < 300:
        return answer
    raise refusals.refused(call.what, answer.status, answer.said, policy=policy)


def of_image(image: ImageId, call: Call, answer: Answer) -> Answer:
    """The answer about an image; NotFoundError when that is gone."""
    if answer.status == 404:
        raise refusals.gone(image)
    return accepted(call, answer, policy="get_image")


def document(call: Call, answer: Answer, read: Callable[[object], T]) -> T:
    """What `read` makes of the JSON in the answer."""
    try:
        return read(parsed(call, answer))
    except MalformedError as error:
        raise PermanentError(
            f"Can't {call.what}. Glance's answer is malformed: {error}",
            remedy="Compare with `openstack image show`; the record in Glance's database may be damaged.",
        ) from error
