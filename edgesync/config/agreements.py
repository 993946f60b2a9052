"""What several keys must agree about. The schema sees one section at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgesync.config.addresses import is_loopback, split_listen
from edgesync.config.document import Document, Value
from edgesync.config.places import KeyPath, Problem
from edgesync.config.wording import nearest, quoted


def disagreements(document: Document) -> Iterator[Problem]:
    """Whatever has the wrong form is passed over: the schema complains about it."""
    policies = document.data.get("policies")
    names: dict[str, int] = {}
    for index, entry in enumerate(policies if isinstance(policies, list) else []):
        if isinstance(entry, dict):
            yield from _repeated_name(document, index, entry, names)
            yield from _waves(document, index, entry)
    if isinstance(api := document.data.get("api"), dict):
        yield from _api(document, api)


def _repeated_name(
    document: Document, index: int, policy: Mapping[str, Value], names: dict[str, int]
) -> Iterator[Problem]:
    name = policy.get("name")
    if not isinstance(name, str):
        return
    if name in names:
        line = document.places["policies", names[name], "name"].line
        yield _problem(
            document,
            ("policies", index, "name"),
            f"{quoted(name)} is the name of another policy, in line {line}; choose another",
        )
    names.setdefault(name, index)


def _waves(document: Document, index: int, policy: Mapping[str, Value]) -> Iterator[Problem]:
    hub, listed = document.data.get("hub"), policy.get("stores")
    first: dict[str, int] = {}
    for path, store in _named(policy, ("policies", index, "waves")):
        if store == hub:
            yield _problem(document, path, f"{quoted(store)} is the hub, which is before all waves; remove it")
        elif store in first:
            yield _problem(document, path, f"names {quoted(store)} twice, first in line {first[store]}; remove one")
        elif isinstance(listed, list) and store not in listed:
            guess = nearest(store, (name for name in listed if isinstance(name, str)))
            message = f"{quoted(store)} is not among the policy's stores{guess or '; add it there, or remove it here'}"
            yield _problem(document, path, message)
        first.setdefault(store, document.places[path].line)


def _api(document: Document, api: Mapping[str, Value]) -> Iterator[Problem]:
    listen = api.get("listen")
    if isinstance(listen, str) and "certificate" not in api and not _stays_inside(listen):
        yield _problem(
            document,
            ("api", "listen"),
            f"expected a loopback address like 127.0.0.1:9780, found {quoted(listen)}: without TLS, the credentials of "
            "those who change something could be read on the way; name api.certificate and api.key",
        )
    for given, lacks in (("certificate", "key"), ("key", "certificate"), ("client_ca", "certificate")):
        if given in api and lacks not in api:
            yield _problem(document, ("api", given), f"is of no use without api.{lacks}; name that, too")
    if "keystone_projects" in api and not {"keystone_operators", "keystone_viewers"} & api.keys():
        message = "lets nobody in by itself; name the roles, too: api.keystone_operators, api.keystone_viewers"
        yield _problem(document, ("api", "keystone_projects"), message)


def _stays_inside(listen: str) -> bool:
    """Also for what is no address at all."""
    try:
        return is_loopback(split_listen(listen)[0])
    except ValueError:
        return True


def _named(policy: Mapping[str, Value], above: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The stores that the waves name, each with its path."""
    waves = policy.get("waves")
    for number, wave in enumerate(waves if isinstance(waves, list) else []):
        for position, store in enumerate(wave if isinstance(wave, list) else []):
            if isinstance(store, str):
                yield (*above, number, position), store


def _problem(document: Document, path: KeyPath, message: str) -> Problem:
    return Problem(place=document.places[path], path=path, message=message)
