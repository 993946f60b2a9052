"""Credentials in files: the one that the commands on this host find, and those that an operator hands out.

They are compared by their digests, all of them each time: how long that takes tells nothing of how near a guess came.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from edgesync.domain.access import Caller, Role
from edgesync.errors import ConfigError

log = structlog.get_logger(__name__)

# Bytes of a file that is read whole, and characters of a token that nobody guesses.
MOST, SHORTEST = 1 << 20, 32
# For the one that all commands on this host share.
LOCAL = Caller(name="local", role=Role.OPERATOR, shared=True)
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
# By the digest of the token.
Callers = Mapping[bytes, Caller]


class TokenFile:
    """Implements `edgesync.domain.access.Credentials` with a file, which `refresh` reads again when it has changed."""

    def __init__(self, path: Path, read: Callable[[str, str], Callers]) -> None:
        self._path = path
        self._read = read
        self._seen: object = None
        self._callers: Callers = {}

    async def caller(self, token: str) -> Caller | None:
        asked = digest(token)
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, asked):
                found = caller
        return found

    def load(self) -> None:
        """Read it; ConfigError when it can't be, others could read or change it, or a line is wrong. Blocks."""
        text, self._seen = _private_text(self._path)
        self._callers = self._read(text, str(self._path))

    async def refresh(self) -> None:
        """Read it again if it is another one now; while it can't be trusted, no token of it is good."""
        seen = await asyncio.to_thread(_state, self._path)
        if seen == self._seen:
            return
        try:
            await asyncio.to_thread(self.load)
        except ConfigError as error:
            self._seen = seen
            self._callers = {}
            log.error("no token of this file is good", why=error.message, remedy=error.remedy)  # noqa: TRY400 - a sentence
        else:
            log.info("tokens read again", file=str(self._path), number=len(self._callers))


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def named_tokens(text: str, source: str) -> Callers:
    """`NAME ROLE TOKEN` a line, with comments and empty lines between; ConfigError names every line that isn't so."""
    callers: dict[bytes, Caller] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if wrong := _wrong_line(words):
            problems.append(f"{source}:{number}: {wrong}")
            continue
        name, role, token = words
        key = _key(token)
        if key in callers:
            problems.append(f"{source}:{number}: the same token as that of {callers[key].name}; give each its own")
        callers[key] = Caller(name=name, role=Role(role))
    if problems:
        raise ConfigError(problems, remedy="write NAME ROLE TOKEN a line; `openssl rand -hex 32` makes a token")
    return callers


def local_token(text: str, source: str) -> Callers:
    """The one token that the file consists of."""
    token = text.strip()
    if len(token) < SHORTEST or not token.isascii():
        raise ConfigError([f"{source}: holds no token"], remedy="remove it: edgesync run makes another")
    return {digest(token): LOCAL}


def make_local_token(path: Path) -> None:
    """Make it if it isn't there, for its owner and group only; ConfigError when that can't be done. Blocks."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        if path.is_file():
            return
        raise ConfigError(
            [f"{path}: the credential of the commands on this host can't be written: {error.strerror}"],
            remedy=f"make the folder for edgesync's user: install -d -o edgesync -m 0750 {path.parent}",
        ) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secrets.token_hex(32)}\n")


def _wrong_line(words: list[str]) -> str:
    """What is wrong with one, without repeating what may be a token; empty: nothing."""
    if len(words) != 3:
        return f"expected a name, a role and a token; found {len(words)} words"
    name, role, token = words
    if name == LOCAL.name:
        return f"{LOCAL.name} is the name of edgesync's own; choose another"
    if len(name) > 64 or not name.isprintable():
        return "expected a name of up to 64 characters"
    if role not in set(Role):
        return f"expected one of {', '.join(Role)} as the role of {name}"
    if token.startswith("sha256:"):
        return "" if _DIGEST.fullmatch(token) else f"expected 64 hexadecimal digits after sha256:, for {name}"
    if len(token) < SHORTEST or not token.isascii():
        return f"the token of {name} can be guessed: expected {SHORTEST} characters of ASCII or more"
    return ""


def _key(token: str) -> bytes:
    hashed = _DIGEST.fullmatch(token)
    return bytes.fromhex(hashed[1]) if hashed else digest(token)


def _private_text(path: Path) -> tuple[str, object]:
    """What is in it, and which one it is; ConfigError when others than its owner and group could know or change it."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise ConfigError(
                    [f"{path}: others can read or change these credentials (mode {stat.S_IMODE(found.st_mode):04o})"],
                    remedy=f"chmod 0640 {path}; make new tokens if others may have read these",
                )
            content = file.read(MOST)
        return content.decode(), _identity(found)
    except OSError as error:
        raise ConfigError(
            [f"{path}: can't be read: {error.strerror}"], remedy="let edgesync's user read it, or correct api.tokens"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8"], remedy="save the file in that encoding") from error


def _state(path: Path) -> object:
    """Which file is there; None: none."""
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(found: os.stat_result) -> object:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
