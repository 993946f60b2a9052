"""Credentials in files: whose a token is, what is wrong with a file, and that a changed one counts at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgesync.clients.token_file import LOCAL, TokenFile, local_token, make_local_token, named_tokens
from edgesync.domain.access import Caller, Role
from edgesync.errors import ConfigError

ALICE, BOB = "a" * 32, "b" * 40


def written(path: Path, text: str, mode: int = 0o640) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def named(path: Path) -> TokenFile:
    file = TokenFile(path, named_tokens)
    file.load()
    return file


async def test_a_token_is_known_by_itself_or_by_its_digest(tmp_path: Path) -> None:
    hashed = hashlib.sha256(BOB.encode()).hexdigest()
    text = f"# who may\n\nalice operator {ALICE}  # until June\nbob viewer sha256:{hashed}\n"
    file = named(written(tmp_path / "tokens", text))
    assert await file.caller(ALICE) == Caller(name="alice", role=Role.OPERATOR)
    assert await file.caller(BOB) == Caller(name="bob", role=Role.VIEWER)
    for wrong in ("", ALICE[:-1], f"{ALICE}a", hashed, f"sha256:{hashed}"):
        assert await file.caller(wrong) is None


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("alice operator", "expected a name, a role and a token; found 2 words"),
        (f"alice boss {ALICE}", "expected one of viewer, operator as the role of alice"),
        ("alice operator short-secret", "the token of alice can be guessed: expected 32 characters of ASCII or more"),
        ("alice operator sha256:abc", "expected 64 hexadecimal digits after sha256:, for alice"),
        (f"local operator {ALICE}", "local is the name of edgesync's own; choose another"),
        (f"{'x' * 65} operator {ALICE}", "expected a name of up to 64 characters"),
        (f"bob viewer {ALICE}\nbea viewer {ALICE}", "the same token as that of bob; give each its own"),
    ],
)
def test_a_wrong_line_is_named_and_no_token_repeated(tmp_path: Path, line: str, wrong: str) -> None:
    path = written(tmp_path / "tokens", f"# ours\n{line}\n")
    with pytest.raises(ConfigError) as refused:
        named(path)
    (problem,) = refused.value.problems
    number = len(line.splitlines()) + 1
    assert problem == f"{path}:{number}: {wrong}"
    assert ALICE not in problem
    assert "short-secret" not in problem


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602])
def test_a_file_that_others_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"others can read or change these credentials \(mode {mode:04o}\)"
    ) as refused:
        named(written(tmp_path / "tokens", f"alice operator {ALICE}\n", mode))
    assert "chmod 0640" in refused.value.remedy


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        named(tmp_path / "tokens")


async def test_a_changed_file_counts_from_then_on(tmp_path: Path) -> None:
    path = written(tmp_path / "tokens", f"alice operator {ALICE}\n")
    file = named(path)
    written(path, f"bob viewer {BOB}\n")
    await file.refresh()
    assert await file.caller(ALICE) is None
    assert await file.caller(BOB) == Caller(name="bob", role=Role.VIEWER)


async def test_no_token_is_good_while_the_file_can_not_be_trusted(tmp_path: Path) -> None:
    path = written(tmp_path / "tokens", f"alice operator {ALICE}\n")
    file = named(path)
    for break_it in (lambda: path.chmod(0o644), lambda: written(path, "nonsense\n"), path.unlink):
        break_it()
        await file.refresh()
        assert await file.caller(ALICE) is None
        written(path, f"alice operator {ALICE}\n")
        await file.refresh()
        assert await file.caller(ALICE) is not None


async def test_the_local_credential_is_made_once_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "local-token"
    make_local_token(path)
    first = path.read_text()
    make_local_token(path)
    assert path.read_text() == first
    assert path.stat().st_mode & 0o777 & ~0o640 == 0
    file = TokenFile(path, local_token)
    file.load()
    assert await file.caller(first.strip()) == LOCAL
    assert len(first.strip()) == 64


def test_a_local_credential_that_is_none_is_refused(tmp_path: Path) -> None:
    file = TokenFile(written(tmp_path / "local-token", "\n"), local_token)
    with pytest.raises(ConfigError, match="holds no token") as refused:
        file.load()
    assert "edgesync run makes another" in refused.value.remedy


def test_a_folder_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, why in (("file", "Not a directory"), ("missing", "No such file or directory")):
        with pytest.raises(ConfigError, match=f"can't be written: {why}") as refused:
            make_local_token(tmp_path / name / "local-token")
        assert refused.value.remedy.endswith(f"install -d -o edgesync -m 0750 {tmp_path / name}")


def test_who_shares_a_credential_says_who_that_is() -> None:
    assert LOCAL.named("alice") == "alice"
    assert LOCAL.named("") == "local"
    olga = Caller(name="olga", role=Role.OPERATOR)
    assert [olga.named(said) for said in ("", "olga", "bob")] == ["olga", "olga", "olga (bob)"]
