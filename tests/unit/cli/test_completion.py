"""Tab: what shells are told, and the names that are completed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from edgesync.cli import completing
from edgesync.cli.completion import SHELLS, VARIABLE
from edgesync.cli.main import cli
from tests.builders import image, policy, situation
from tests.fakes.credentials import LOCAL_TOKEN
from tests.unit.cli.running import Terminal, terminal
from tests.unit.expose.pictures import picture_of

NAMES = ("rhel-9.4", "rhel-9.5", "rhel[9]", "rhel $(reboot)", "fedora")


@pytest.fixture
async def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    monkeypatch.setenv("EDGESYNC_API_TOKEN", LOCAL_TOKEN)
    seen = [image(name, tags=()) for name in NAMES]
    async with terminal(picture_of(situation(*seen, policies=[policy()])), capsys, monkeypatch) as ready:
        yield ready


def completed(url: str, *words: str) -> list[str]:
    """What Tab offers for the last word."""
    return [
        item.value
        for item in ShellComplete(cli, {}, "edgesync", VARIABLE).get_completions(["--api", url, *words[:-1]], words[-1])
    ]


async def tab(shell: Terminal, *words: str) -> list[str]:
    return await asyncio.to_thread(completed, shell.url, *words)


@pytest.mark.parametrize("name", SHELLS)
def test_shells_are_told_how_to_complete(name: str) -> None:
    told = CliRunner().invoke(cli, ["completion", name])
    assert told.exit_code == 0
    assert f"{VARIABLE}={name}_complete" in told.output


async def test_commands_and_options_are_completed_without_a_daemon() -> None:
    assert completed("http://127.0.0.1:1", "loc") == ["locations"]
    assert completed("http://127.0.0.1:1", "status", "--w") == ["--watch"]


@pytest.mark.parametrize("command", ["status", "copy", "delete-copy", "locations", "verify", "history", "flatten"])
async def test_images_are_completed_also_those_that_no_policy_concerns(shell: Terminal, command: str) -> None:
    assert await tab(shell, command, "rhel-") == ["rhel-9.4", "rhel-9.5"]


async def test_what_a_shell_would_run_or_expand_is_not_offered(shell: Terminal) -> None:
    assert await tab(shell, "status", "rhel") == ["rhel-9.4", "rhel-9.5"]
    assert await tab(shell, "status", "rhel[") == []


async def test_stores_are_completed_also_in_lists(shell: Terminal) -> None:
    assert await tab(shell, "layers", "--store", "d") == ["dcn0", "dcn1"]
    assert await tab(shell, "copy", "fedora", "--stores", "dcn0,") == ["dcn0,central", "dcn0,dcn1"]


async def test_jobs_are_completed(shell: Terminal) -> None:
    await shell.edgesync("copy", "fedora", "--stores", "dcn0")
    job = shell.at.job.id
    assert await tab(shell, "cancel", job[:3]) == await tab(shell, "jobs", job[:3]) == [job]
    assert await tab(shell, "jobs", "nothing") == []


def test_without_a_daemon_no_name_is_offered_and_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert completed("http://127.0.0.1:1", "status", "") == []
    assert capsys.readouterr() == ("", "")


def test_a_daemon_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert completed(f"http://127.0.0.1:{silent.getsockname()[1]}", "layers", "--store", "") == []


def test_whatever_names_an_image_a_store_or_a_job_is_completed() -> None:
    kinds = {"image": completing.IMAGE, "images": completing.IMAGE, "store": completing.STORE, "job": completing.JOB}
    for name, command in cli.all().items():
        for parameter in command.params:
            if (kind := kinds.get(parameter.name or "")) and not isinstance(parameter.type, click.types.BoolParamType):
                assert parameter.type is kind, (name, parameter.name)
