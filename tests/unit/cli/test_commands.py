"""The command line as a person meets it: help, exit codes, and what it says without a daemon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgesync import __version__
from edgesync.cli.context import FAILED
from edgesync.cli.jobs import verdict
from edgesync.cli.main import cli
from edgesync.expose.figures import seconds, size
from tests.unit.cli.running import Said, typed

COMMANDS = sorted(cli.all())


Edgesync = Callable[..., Said]


@pytest.fixture
def edgesync(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Edgesync:
    return partial(typed, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("argument", "code", "said"), [("--version", 0, f"edgesync {__version__}\n"), ("nothing", 2, "")]
)
def test_it_is_a_program(argument: str, code: int, said: str) -> None:
    command = [sys.executable, "-m", "edgesync", argument]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, said)


def test_who_asks_the_daemon_does_not_wait_for_its_parts_to_be_loaded() -> None:
    program = "import sys, edgesync.cli.main; print({'sqlalchemy', 'jinja2', 'openstack'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", [name for name in COMMANDS if not isinstance(cli.all()[name], click.Group)])
def test_every_command_has_help_with_an_example(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0
    assert f"edgesync {name}" in shown.output or f"edgesync --config /etc/edgesync/edgesync.yaml {name}" in shown.output
    assert "Example:" in shown.output


def test_the_help_names_every_command_and_the_exit_codes() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    listed = shown.split("Commands:")[1]
    assert [line.split()[0] for line in listed.splitlines() if line[:3].strip() and line.strip()] == COMMANDS
    assert "0 done, 1 something failed, 2 usage or configuration, 130 interrupted" in shown
    assert "for command in" not in shown


def test_every_command_is_in_the_readme() -> None:
    readme = Path("README.md").read_text()
    for name in COMMANDS:
        assert f"`edgesync {name}" in readme, name


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("stores",),
        ("history",),
        ("jobs",),
        ("locations", "x"),
        ("copy", "x", "y", "--all-stores"),
        ("copy", "--policy", "x"),
        ("import", "http://a/b", "--name", "x"),
        ("cancel", "x", "y"),
        ("delete-copy", "x", "--store", "a"),
        ("pause", "--all"),
        ("resume", "--all"),
    ],
)
def test_without_a_daemon_they_say_so_and_how_to_start_one(edgesync: Edgesync, arguments: tuple[str, ...]) -> None:
    said = edgesync("--api", "http://127.0.0.1:1", *arguments)
    assert said.code == 1
    assert "no edgesync daemon answers at http://127.0.0.1:1" in said.err
    assert "edgesync run" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "arguments",
    [("copy", "x"), ("copy", "x", "--all-stores", "--stores", "a"), ("nothing",), ("status", "--nothing")]
    + [("history", "--since", since) for since in ("yesterday", "999999999999d", "99999999d")],
)
def test_wrong_usage_is_exit_code_2(edgesync: Edgesync, arguments: tuple[str, ...]) -> None:
    assert edgesync(*arguments).code == 2


def test_config_check_counts_what_it_has_read(edgesync: Edgesync, tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(
        "hub: central\npolicies: [{name: golden, match: {tags: [golden]}, stores: all}]\n"
        "stores: {dcn0: {max_concurrent: 2}}\n"
    )
    checked = edgesync("--config", str(file), "config", "check")
    assert checked.out == "ok: hub central, 1 policy, 1 store with settings of its own\n"


def test_config_check_and_show(edgesync: Edgesync, tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text("hub: central\njournal: {url: 'postgresql+asyncpg://edgesync:secret@db/edgesync'}\n")
    assert edgesync("--config", str(file), "config", "check").code == 0
    shown = edgesync("--config", str(file), "config", "show")
    assert "hub: central" in shown.out
    assert "secret" not in shown.out


@pytest.mark.parametrize(
    ("number", "text"), [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1 << 30, "1.0 GiB"), (1 << 50, "1024.0 TiB")]
)
def test_sizes(number: int | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(("number", "text"), [(None, "-"), (0, "0:00"), (75, "1:15"), (3725, "1:02:05")])
def test_durations(number: float | None, text: str) -> None:
    assert seconds(number) == text


def test_a_wait_that_ends_before_its_job_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"store": "dcn0", "result": "pending"}
    job = {"id": "1", "work": "copy", "image": "i", "image_name": "", "state": "running", "stores": [row]}
    assert verdict([job], awaited=False) == 0
    assert verdict([job], awaited=True) == FAILED
    assert "goes on in the daemon" in capsys.readouterr().err
