"""What README and runbook promise is what the code does, and the other way round."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp import web
from prometheus_client import generate_latest

from edgesync.cli.main import cli
from edgesync.domain.copy import CopyState, StallCause, WaitReason
from edgesync.domain.job import FAILED_KINDS, CopyResult, EventKind, JobState, StoreResult, Work
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.expose.api import Api
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Showcase
from tests.builders import NOW, attempt, image, policy, situation
from tests.fakes.credentials import known_access
from tests.unit.expose.pictures import picture_of

README = Path("README.md").read_text()
RUNBOOK = Path("deploy/RUNBOOK.md").read_text()


def exposed() -> set[str]:
    """The names of all metrics, as Prometheus sees them."""
    showcase = Showcase(health=Health(started_at=NOW))
    showcase.picture = picture_of(situation(image(), policies=[policy()]))
    metrics = Metrics(showcase)
    metrics.request("images", "200", 0.1)
    metrics.seen(showcase.picture)
    metrics.tick(0.1, True)
    for work in Work:
        result = CopyResult.COPIED if work.brings else CopyResult.REMOVED
        metrics.ended(attempt(image(), "dcn0", work=work), StoreResult(store=StoreId("dcn0"), result=result), 1.0)
    names = re.findall(r"^# TYPE (\S+) (\S+)", generate_latest(metrics.registry).decode(), re.MULTILINE)
    return {name for name, _ in names if not name.endswith("_created")}


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"\b((?:edgesync|process)_[a-z_]+)\{?", README.split("| metric |")[1].split("## ")[0]))
    assert documented == exposed()


def test_every_state_is_documented() -> None:
    line = next(line for line in README.splitlines() if line.startswith("| copy |"))
    assert set(re.findall(r"`(\w+)`", line)) == set(CopyState)


def section(title: str) -> str:
    """One chapter of the runbook."""
    return RUNBOOK.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(title: str) -> list[str]:
    """What is code in the first column of a chapter's table, with a mark that may follow."""
    cells = re.findall(r"^\| ([^|]+) \|", section(title), re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`[^`]+`(?: ✗)?", cell)]


def words(title: str) -> list[str]:
    return sorted(word.strip("`") for word in first_column(title))


def test_the_runbook_has_every_state_and_its_sign() -> None:
    found = re.findall(r"^\| `(.)` \| `(\w+)`", section("States of a copy"), re.MULTILINE)
    assert sorted(found) == sorted((state.sign, state.value) for state in CopyState)


@pytest.mark.parametrize(
    ("title", "known"),
    [("Why a copy waits", WaitReason), ("Stalled imports", StallCause), ("Broken copies and orphans", Defect)],
)
def test_the_runbook_has_every_reason(title: str, known: type[StrEnum]) -> None:
    assert words(title) == sorted(known)


def test_the_runbook_has_every_event_and_marks_failures() -> None:
    events = {kind: f"`{kind}`" + (" ✗" if kind in FAILED_KINDS else "") for kind in EventKind}
    assert sorted(first_column("Words of the history")) == sorted(events.values())


def test_the_runbook_has_every_state_of_a_job_and_every_result() -> None:
    last = section("Words of the history").rsplit("\n\n", 1)[1]
    assert set(re.findall(r"`([a-z]+)`", last)) == {*JobState, *CopyResult}


def headings(page: Path) -> set[str]:
    """As links name them."""
    titles = re.findall(r"^#+ (.+)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md", "deploy/RUNBOOK.md", "docs/commands.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", Path(page).read_text()):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        file = Path(page).parent / name if name else Path(page)
        assert file.exists(), target
        assert not heading or heading in headings(file), target


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`edgesync ([a-z-]+)(?: ([a-z]+))?", README + RUNBOOK))))
def test_every_command_that_the_pages_name_exists(command: tuple[str, str]) -> None:
    name, sub = command
    assert name in cli.all()
    if isinstance(group := cli.all()[name], click.Group):
        assert sub in group.commands


@pytest.mark.parametrize("option", re.findall(r"--[a-z][a-z-]+", README.split("## Commands")[1].split("## HTTP")[0]))
def test_every_option_that_the_readme_names_exists(option: str) -> None:
    groups = [group for group in cli.all().values() if isinstance(group, click.Group)]
    commands = [cli, *cli.all().values(), *(command for group in groups for command in group.commands.values())]
    known = {name for command in commands for parameter in command.params for name in parameter.opts}
    assert option in known | {"--help"}


def test_every_option_of_a_command_is_in_the_readme() -> None:
    """But for those of the whole, and of every command's output."""
    chapter = README.split("## Commands")[1].split("## HTTP")[0]
    for command in cli.all().values():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and "-f" not in parameter.opts:
                assert any(re.search(rf"(?<![\w-]){option}(?![\w-])", chapter) for option in parameter.opts), (
                    parameter.opts
                )


def test_every_option_of_a_command_has_help() -> None:
    for name, command in cli.all().items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def routes() -> list[web.AbstractRoute]:
    showcase = Showcase(health=Health(started_at=NOW))
    unused: Any = None
    api = Api(showcase=showcase, journal=unused, counter=unused, metrics=Metrics(showcase), access=known_access())
    return list(api.application().router.routes())


def test_every_path_of_the_api_is_documented() -> None:
    for route in routes():
        info = route.get_info()
        path = str(info.get("path") or info["formatter"]).replace("{job}", "{id}")
        documented = f"{route.method} {path}" if path.startswith("/v1/") else path
        assert route.method == "HEAD" or f"`{documented}`" in README, documented


def test_every_path_that_the_readme_names_exists() -> None:
    api = README.split("## HTTP API")[1].split("## Develop")[0]
    known = {f"{route.method} {route.get_info().get('path') or route.get_info()['formatter']}" for route in routes()}
    for documented in re.findall(r"`((?:GET|POST|PUT|DELETE) /v1/[^`]+)`", api):
        assert documented.replace("{id}", "{job}") in known
