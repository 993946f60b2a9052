"""What the README promises is what the code does, and the other way round."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from prometheus_client import generate_latest

from edgesync.cli.main import cli
from edgesync.domain.copy import CopyState
from edgesync.domain.job import CopyResult
from edgesync.domain.store import StoreId
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from tests.builders import image, policy, situation
from tests.unit.expose.test_matrix import picture_of

README = Path("README.md").read_text()


def exposed() -> set[str]:
    """The names of all metrics, as Prometheus sees them."""
    showcase = Showcase(health=Health(started_at=datetime.now(UTC)))
    showcase.picture = picture_of(situation(image(), policies=[policy()]))
    metrics = Metrics(showcase)
    metrics.request("images", "200", 0.1)
    metrics.tick(0.1, True)
    metrics.copied(StoreId("dcn0"), CopyResult.COPIED, 1.0)
    names = re.findall(r"^# TYPE (\S+) (\S+)", generate_latest(metrics.registry).decode(), re.MULTILINE)
    return {name for name, _ in names if not name.endswith("_created")}


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"\b(edgesync_[a-z_]+)\{?", README.split("| metric |")[1].split("## ")[0]))
    assert documented == exposed()


def test_every_state_is_documented() -> None:
    line = next(line for line in README.splitlines() if line.startswith("| copy |"))
    assert set(re.findall(r"`(\w+)`", line)) == set(CopyState)


@pytest.mark.parametrize("option", re.findall(r"--[a-z][a-z-]+", README.split("## Commands")[1].split("## HTTP")[0]))
def test_every_option_that_the_readme_names_exists(option: str) -> None:
    commands = [cli, *cli.commands.values()]
    known = {name for command in commands for parameter in command.params for name in parameter.opts}
    assert option in known | {"--help"}


def test_every_option_of_a_command_has_help() -> None:
    for name, command in cli.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_every_path_of_the_api_is_documented() -> None:
    routes = Path("edgesync/expose/api.py").read_text()
    for path in re.findall(r'web\.(?:get|post)\("([^"]+)"', routes):
        assert path.replace("{job}", "{id}") in README, path
