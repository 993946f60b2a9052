"""The committed reference is the one that the code makes, and nothing is missing in it."""

from __future__ import annotations

import re

import click
import pytest

from deploy.reference.entries import entries
from deploy.reference.files import FOLDER, files
from deploy.reference.words import VARIABLES
from edgesync.cli.main import cli
from edgesync.config.overrides import RESERVED, variables

PAGE = (FOLDER / "commands.md").read_text()
# What only the lab and the tests read.
UNSHOWN = {name for name in RESERVED if name.startswith(("EDGESYNC_LAB", "EDGESYNC_SOAK"))}


@pytest.mark.parametrize("name", sorted(files()))
def test_the_committed_page_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "python -m deploy.reference writes it"


def test_every_command_is_in_it_with_an_example() -> None:
    commands = {entry.name: entry for entry in entries()}
    assert {name.split()[0] for name in commands if name} == set(cli.all())
    assert [name for name, entry in commands.items() if not any("edgesync" in line for line in entry.examples)] == []


def test_every_option_says_what_it_does() -> None:
    told = {(entry.name, option): text for entry in entries() for option, text in entry.options}
    assert [key for key, text in told.items() if not text] == []
    options = {opt for command in cli.all().values() for parameter in command.params for opt in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= set(re.findall(r"--[a-z-]+", PAGE))


def test_every_variable_is_in_it() -> None:
    assert (RESERVED - UNSHOWN) | set(variables()) <= set(re.findall(r"`([A-Z_]+)`", PAGE))
    by_click = {parameter.envvar for parameter in cli.params if isinstance(parameter, click.Option)} - {None}
    assert by_click <= VARIABLES.keys()


def test_exit_codes_are_those_of_the_help() -> None:
    (told,) = re.findall(r"^Exit codes: (.+)\.$", PAGE, re.MULTILINE)
    listed = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert re.findall(r"(\d+) ", told) == listed


def test_the_man_page_has_only_macros_of_man() -> None:
    requests = set(re.findall(r"^\.(\S+)", (FOLDER / "edgesync.1").read_text(), re.MULTILINE))
    assert requests <= {"TH", "SH", "SS", "PP", "TP", "RS", "RE", "nf", "fi"}
