"""Ask a Glance what it can do."""

from __future__ import annotations

from edgesync.clients.documents import accepted, document
from edgesync.clients.transport import Call, Transport, parsed
from edgesync.clients.wire import MalformedError
from edgesync.domain.level import Level
from edgesync.errors import PermanentError, TransientError

TASKS_SINCE = (2, 12)
DETAILS_SINCE = (2, 15)


async def find_level(transport: Transport) -> Level:
    """Return what it can do; PermanentError when it can't copy between stores."""
    version = await _newest_version(transport)
    await _has_stores(transport)
    methods = await _import_methods(transport)
    if "copy-image" not in methods:
        raise PermanentError(
            f"This Glance does not offer copy-image, only {', '.join(methods) or 'no import method'}.",
            remedy="Add copy-image to enabled_import_methods in glance-api.conf.",
        )
    return Level(
        version="v" + ".".join(map(str, version)),
        methods=frozenset(methods),
        tells_tasks=version >= TASKS_SINCE,
        tells_details=version >= DETAILS_SINCE,
    )


async def _newest_version(transport: Transport) -> tuple[int, ...]:
    call = Call(operation="versions", what="read Glance's versions", path="/versions")
    answer = await transport.send(call)
    # Older releases answer 300 Multiple Choices, with the same body.
    found = parsed(call, answer if answer.status == 300 else accepted(call, answer))
    try:
        return max(_version(entry["id"]) for entry in found["versions"])
    except (KeyError, TypeError, ValueError) as error:
        raise TransientError(
            "Can't read Glance's versions: the answer is of an unknown form.",
            remedy="Look whether the image endpoint in Keystone's catalog leads to Glance.",
        ) from error


async def _has_stores(transport: Transport) -> None:
    call = Call(operation="stores", what="list the stores", path="/v2/info/stores")
    answer = await transport.send(call)
    if answer.status == 404:
        raise PermanentError(
            "This Glance has a single store.",
            remedy="Set enabled_backends in glance-api.conf, with one RBD store for each site.",
        )
    accepted(call, answer)


async def _import_methods(transport: Transport) -> list[str]:
    call = Call(operation="import_info", what="read the import methods", path="/v2/info/import")
    return document(call, accepted(call, await transport.send(call)), _methods)


def _methods(found: object) -> list[str]:
    methods = found.get("import-methods") if isinstance(found, dict) else None
    values = methods.get("value") if isinstance(methods, dict) else None
    if not isinstance(values, list):
        raise MalformedError("import-methods: expected a list")
    return [value for value in values if isinstance(value, str)]


def _version(name: str) -> tuple[int, ...]:
    """ "v2.18" -> (2, 18): as a text it would come before v2.9."""
    return tuple(int(part) for part in name.removeprefix("v").split("."))
