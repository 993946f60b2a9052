"""What the README promises is what the code does, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from prometheus_client import generate_latest

from edgesync.cli.main import cli
from edgesync.domain.copy import CopyState
from edgesync.domain.job import CopyResult, Work
from edgesync.domain.store import StoreId
from edgesync.expose.api import Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from tests.builders import NOW, image, policy, situation
from tests.unit.expose.pictures import picture_of

README = Path("README.md").read_text()


def exposed() -> set[str]:
    """The names of all metrics, as Prometheus sees them."""
    showcase = Showcase(health=Health(started_at=NOW))
    showcase.picture = picture_of(situation(image(), policies=[policy()]))
    metrics = Metrics(showcase)
    metrics.request("images", "200", 0.1)
    metrics.tick(0.1, True)
    for work in Work:
        metrics.ended(work, StoreId("dcn0"), CopyResult.COPIED if work.brings else CopyResult.REMOVED, 1.0)
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
    showcase = Showcase(health=Health(started_at=NOW))
    unused: Any = None
    api = Api(showcase=showcase, journal=unused, counter=unused, metrics=Metrics(showcase))
    for route in api.application().router.routes():
        info = route.get_info()
        path = str(info.get("path") or info["formatter"]).replace("{job}", "{id}")
        documented = f"{route.method} {path}" if path.startswith("/v1/") else path
        assert route.method == "HEAD" or f"`{documented}`" in README, documented


def test_every_path_that_the_readme_names_exists() -> None:
    api = README.split("## HTTP API")[1].split("## Develop")[0]
    showcase = Showcase(health=Health(started_at=NOW))
    unused: Any = None
    routes = Api(showcase=showcase, journal=unused, counter=unused, metrics=Metrics(showcase)).application().router
    known = {
        f"{route.method} {route.get_info().get('path') or route.get_info()['formatter']}" for route in routes.routes()
    }
    for documented in re.findall(r"`((?:GET|POST|PUT|DELETE) /v1/[^`]+)`", api):
        assert documented.replace("{id}", "{job}") in known
