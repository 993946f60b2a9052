"""Refusals: errors as `application/problem+json` (RFC 9457), each with a remedy."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, PermanentError, TransientError

PROBLEM = "application/problem+json"

log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    remedy: str = ""


_STATUS: tuple[tuple[type[EdgesyncError], HTTPStatus], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (PermanentError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
)


# For what aiohttp itself refuses.
_REMEDIES = {
    HTTPStatus.NOT_FOUND: "GET /openapi.json lists the paths",
    HTTPStatus.METHOD_NOT_ALLOWED: "GET /openapi.json says what each path takes",
    HTTPStatus.REQUEST_TIMEOUT: "send the whole request at once",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "orders are short; only the data of an import may be of any size",
}


def respond(status: HTTPStatus, detail: str, remedy: str = "") -> web.Response:
    problem = Problem(title=status.phrase, status=status, detail=detail, remedy=remedy)
    return web.Response(status=status, body=problem.model_dump_json().encode(), content_type=PROBLEM)


def of_error(error: EdgesyncError) -> web.Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    return respond(status, error.message, error.remedy)


def of_validation(error: ValidationError) -> web.Response:
    return respond(HTTPStatus.BAD_REQUEST, sentence_of(error), "correct the request and send it again")


def sentence_of(error: ValidationError) -> str:
    """What is wrong with a request, part by part."""
    return "; ".join(
        f"{'.'.join(str(part) for part in entry['loc']) or 'body'}: {entry['msg']}" for entry in error.errors()
    )


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a problem document."""
    try:
        return await handler(request)
    except ValidationError as error:
        return of_validation(error)
    except EdgesyncError as error:
        return of_error(error)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        status = HTTPStatus(error.status)
        remedy = _REMEDIES.get(status, "correct the request and send it again")
        refusal = respond(status, error.text or error.reason, remedy)
        if allowed := error.headers.get("Allow"):
            refusal.headers["Allow"] = allowed
        return refusal
    except Exception:
        log.exception("request failed", path=request.path)
        return respond(
            HTTPStatus.INTERNAL_SERVER_ERROR, "edgesync stumbled over this request", "its log has the details"
        )
