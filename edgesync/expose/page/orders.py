"""What a person orders by a form of the page: the same requests as the API's, handed to the same counter.

Whatever becomes of it is told on the page that the form was on.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from edgesync.domain.job import JobId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.expose.access import asked_by
from edgesync.expose.page.sessions import Notice
from edgesync.expose.page.visits import VISITOR, by_visitor, fields_of, local
from edgesync.expose.refusals import sentence_of
from edgesync.expose.requests import CopyRequest, Counter, PauseRequest, Scope, Taken, VerificationRequest

Form = Mapping[str, str]
# Hands an order in, for somebody; what to say of it.
Order = Callable[[Form, str], Awaitable[str]]


class Orders:
    """The routes of the page's forms."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def routes(self) -> list[web.RouteDef]:
        orders = {
            "copy": self._copy,
            "verify": self._verify,
            "cancel": self._cancel,
            "pause": self._pause,
            "resume": self._resume,
        }
        return [web.post(f"/orders/{name}", _taking(order)) for name, order in orders.items()]

    async def _copy(self, form: Form, who: str) -> str:
        stores = _list(form, "stores")
        taken = await self._counter.copy(
            CopyRequest(
                image=_text(form, "image"),
                stores=stores,
                all_stores=not stores,
                urgent="urgent" in form,
                requested_by=who,
            )
        )
        return _told(taken)

    async def _verify(self, form: Form, who: str) -> str:
        order = VerificationRequest(
            image=_text(form, "image"),
            stores=_list(form, "stores"),
            deep="deep" in form,
            repair="repair" in form,
            requested_by=who,
        )
        return _told(await self._counter.verify(order))

    async def _cancel(self, form: Form, who: str) -> str:
        job = _text(form, "job") or ""
        if not job.isalnum():
            raise NotFoundError(f"there is no job {job!r}", remedy="the page of jobs lists them")
        taken = await self._counter.cancel(JobId(job), who)
        return " ".join([f"job {job} is {taken.jobs[0].state}", *taken.notes])

    async def _pause(self, form: Form, who: str) -> str:
        reason = _text(form, "reason") or ""
        scope = _scope(form, who)
        pause = await self._counter.pause(PauseRequest(**scope.model_dump(), reason=reason))
        return f"{pause.scope} is paused: nothing new is started there"

    async def _resume(self, form: Form, who: str) -> str:
        pause = await self._counter.resume(_scope(form, who))
        return f"{pause.scope} goes on"


def _taking(order: Order) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def take(request: web.Request) -> web.Response:
        if not await by_visitor(request):
            raise web.HTTPForbidden(text="this form is not one of yours, or you have signed in anew since")
        form = await fields_of(request)
        request[VISITOR].notices.append(await _carried_out(order, form, asked_by(request)))
        back = local(form.get("back", "/"))
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": back})

    return take


async def _carried_out(order: Order, form: Form, who: str) -> Notice:
    try:
        return Notice(text=await order(form, who))
    except EdgesyncError as error:
        return Notice(text=error.message, remedy=error.remedy, bad=True)
    except ValidationError as error:
        return Notice(text=sentence_of(error), bad=True)


def _told(taken: Taken) -> str:
    (job,) = taken.jobs
    stores = ", ".join(entry.store for entry in job.stores)
    return "; ".join([f"job {job.id} is taken: {job.work} {job.image_name or job.image} at {stores}", *taken.notes])


def _scope(form: Form, who: str) -> Scope:
    return Scope(image=_text(form, "image"), store=_text(form, "store"), all="all" in form, requested_by=who)


def _text(form: Form, name: str) -> str | None:
    """A field; None where it is empty or not there."""
    return form.get(name, "").strip() or None


def _list(form: Form, name: str) -> tuple[str, ...]:
    """A field in which people write several words."""
    return tuple(word for word in re.split(r"[\s,;]+", form.get(name, "")) if word)
