"""Keystone's users as callers: roles mapped, answers remembered for a while and no longer."""

from __future__ import annotations

import asyncio

import pytest

from edgesync.clients import keystone_tokens
from edgesync.clients.keystone_tokens import KeystoneTokens, RoleMap
from edgesync.clients.login import Holder
from edgesync.domain.access import Caller, Role
from edgesync.errors import TransientError, UnreachableError


def holder(*roles: str, user: str = "alice", project: str = "service") -> Holder:
    return Holder(user=user, domain="Default", project=project, project_id=f"id-{project}", roles=frozenset(roles))


class Keystone:
    """Satisfies `Checks`: these are the tokens that it knows."""

    def __init__(self, **known: Holder) -> None:
        self.known = known
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self.trouble: UnreachableError | None = None

    async def holder(self, token: str) -> Holder | None:
        self.asked.append(token)
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return self.known.get(token)


class Watch:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


ROLES = RoleMap(operators=["admin", "imager"], viewers=["reader"])


@pytest.mark.parametrize(
    ("roles", "expected"),
    [(["admin"], Role.OPERATOR), (["reader", "imager"], Role.OPERATOR), (["reader"], Role.VIEWER), (["member"], None)],
)
async def test_roles_are_mapped(roles: list[str], expected: Role | None) -> None:
    tokens = KeystoneTokens(Keystone(t=holder(*roles)), ROLES, cache=60)
    caller = await tokens.caller("t")
    assert caller == (Caller(name="alice@Default", role=expected) if expected else None)


@pytest.mark.parametrize(
    ("projects", "let_in"), [(None, True), (["service"], True), (["id-service"], True), ([], False)]
)
async def test_roles_count_in_the_named_projects_only(projects: list[str] | None, let_in: bool) -> None:
    tokens = KeystoneTokens(
        Keystone(t=holder("admin")), RoleMap(operators=["admin"], viewers=[], projects=projects), cache=60
    )
    assert (await tokens.caller("t") is not None) == let_in


async def test_keystone_is_asked_again_when_its_word_is_old_and_then_a_revoked_token_is_refused() -> None:
    keystone, watch = Keystone(t=holder("admin")), Watch()
    tokens = KeystoneTokens(keystone, ROLES, cache=60, monotonic=watch)
    assert await tokens.caller("t")
    keystone.known.clear()
    watch.now = 59.9
    assert await tokens.caller("t")
    watch.now = 60
    assert await tokens.caller("t") is None
    assert keystone.asked == ["t", "t"]


async def test_what_keystone_does_not_know_is_remembered_too() -> None:
    keystone, watch = Keystone(), Watch()
    tokens = KeystoneTokens(keystone, ROLES, cache=60, monotonic=watch)
    assert [await tokens.caller("guess") for _ in range(3)] == [None, None, None]
    assert keystone.asked == ["guess"]


async def test_nothing_is_remembered_of_a_keystone_that_does_not_answer() -> None:
    keystone = Keystone(t=holder("admin"))
    keystone.trouble = UnreachableError("nobody there", sent=False)
    tokens = KeystoneTokens(keystone, ROLES, cache=60)
    with pytest.raises(UnreachableError):
        await tokens.caller("t")
    keystone.trouble = None
    assert await tokens.caller("t")


async def test_many_who_show_the_same_token_cost_one_question_and_who_gives_up_takes_nothing_from_the_others() -> None:
    keystone = Keystone(t=holder("admin"))
    keystone.gate = asyncio.Event()
    tokens = KeystoneTokens(keystone, ROLES, cache=60)
    impatient, *others = [asyncio.create_task(tokens.caller("t")) for _ in range(5)]
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    keystone.gate.set()
    assert all(await asyncio.gather(*others))
    assert keystone.asked == ["t"]


async def test_questions_and_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystone_tokens, "WAITING", 2)
    monkeypatch.setattr(keystone_tokens, "REMEMBERED", 3)
    keystone = Keystone()
    keystone.gate = asyncio.Event()
    tokens = KeystoneTokens(keystone, ROLES, cache=60)
    waiting = [asyncio.create_task(tokens.caller(token)) for token in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(TransientError, match="too many tokens"):
        await tokens.caller("c")
    keystone.gate.set()
    await asyncio.gather(*waiting)
    for token in "cdefg":
        await tokens.caller(token)
    assert len(tokens._known) == 3
    assert await tokens.caller("x" * 5000) is None
    assert "x" * 5000 not in keystone.asked


async def test_what_is_remembered_is_known_without_a_question_and_no_longer_than_else() -> None:
    keystone, watch = Keystone(t=holder("admin")), Watch()
    tokens = KeystoneTokens(keystone, ROLES, cache=60, monotonic=watch)
    assert tokens.remembered("t") is None
    assert await tokens.caller("t") == tokens.remembered("t") is not None
    watch.now = 61
    assert tokens.remembered("t") is None
    assert keystone.asked == ["t"]
