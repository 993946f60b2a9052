"""`journal` on a file: what it shows, and how it goes back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

from edgesync.cli import main
from edgesync.cli.completion import VARIABLE
from edgesync.cli.main import cli
from edgesync.domain.job import Work
from edgesync.journal import SqlJournal, open_journal, revisions
from tests.builders import image, job
from tests.unit.cli.conftest import Same
from tests.unit.cli.running import Said

NEWEST = revisions()[-1].id


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where a journal is, and commands are typed."""

    url: str
    type: Callable[..., Said]

    async def edgesync(self, *arguments: str) -> Said:
        return await asyncio.to_thread(self.type, "journal", *arguments)

    async def journal(self) -> SqlJournal:
        return await open_journal(self.url)


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Host:
    url = f"sqlite+aiosqlite:///{tmp_path}/journal.db"
    file = tmp_path / "edgesync.yaml"
    file.write_text(yaml.safe_dump({"hub": "central", "journal": {"url": url}}))

    def type_(*arguments: str) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["edgesync", "--config", str(file), *arguments])
        code = main._exit_code()
        said = capsys.readouterr()
        return Said(code=code, out=said.out.replace(str(tmp_path), "/var/lib/edgesync"), err=said.err)

    return Host(url=url, type=type_)


async def fill(host: Host) -> None:
    journal = await host.journal()
    await journal.add_job(job(image(), "dcn0", work=Work.VERIFY))
    await journal.add_job(job(image(), "dcn0", "dcn1", number=2))
    await journal.close()


async def test_show_without_a_journal(host: Host, same: Same) -> None:
    said = await host.edgesync("show")
    assert said.code == 0
    same("journal-none", said.out)


async def test_show_names_the_daemon_that_has_it(host: Host) -> None:
    journal = await host.journal()
    assert f'"schema": "{NEWEST}"' in (await host.edgesync("show", "-f", "json")).out
    assert "nobody" in (await host.edgesync("show")).out
    await journal.claim()
    assert "process " in (await host.edgesync("show")).out
    await journal.close()


async def test_what_would_be_lost_is_shown_before_it_is(host: Host, same: Same) -> None:
    await fill(host)
    asked = await host.edgesync("rollback", "--to", "0002")
    assert asked.code == 1
    same("journal-rollback", asked.out)
    assert "nothing was changed" in asked.err
    assert "--yes" in asked.err
    assert f"Schema   {NEWEST}\n" in _stripped((await host.edgesync("show")).out)
    done = await host.edgesync("rollback", "--to", "0002", "--yes")
    assert (done.code, done.out) == (0, asked.out.replace("Would be lost     ", "Lost              "))
    assert f"the journal has the schema 0002 (it was {NEWEST}): start the older version now" in done.err
    assert "Schema   0002, of an older edgesync\n" in _stripped((await host.edgesync("show")).out)


async def test_where_nothing_is_lost_nobody_is_asked(host: Host) -> None:
    await (await host.journal()).close()
    done = await host.edgesync("rollback", "--to", "0001")
    assert (done.code, done.out) == (0, "")
    again = await host.edgesync("rollback", "--to", "0001")
    assert (again.code, again.out) == (0, "")
    assert "0001 already" in again.err


async def test_a_schema_that_there_is_not_is_refused_with_those_that_there_are(host: Host) -> None:
    await (await host.journal()).close()
    said = await host.edgesync("rollback", "--to", "77")
    assert (said.code, said.out) == (1, "")
    assert all(revision.id in said.err for revision in revisions())


async def test_beside_a_daemon_it_is_refused(host: Host) -> None:
    journal = await host.journal()
    await journal.claim()
    said = await host.edgesync("rollback", "--to", "0002", "--yes")
    assert said.code == 1
    assert "writes to this journal" in said.err
    await journal.close()


async def test_an_older_command_reads_it_no_more_and_says_why(host: Host) -> None:
    await (await host.journal()).close()
    await host.edgesync("rollback", "--to", "0002")
    said = await asyncio.to_thread(host.type, "plan")
    assert said.code == 1
    assert "schema of an older edgesync, 0002" in said.err


async def test_a_password_is_not_shown(host: Host, tmp_path: Path) -> None:
    url = "postgresql+asyncpg://edgesync:hidden@127.0.0.1:1/edgesync"
    (tmp_path / "edgesync.yaml").write_text(yaml.safe_dump({"hub": "central", "journal": {"url": url}}))
    said = await host.edgesync("show")
    assert said.code == 1
    assert "hidden" not in said.out + said.err


def test_schemas_are_completed_with_what_they_brought() -> None:
    words = ["journal", "rollback", "--to"]
    found = ShellComplete(cli, {}, "edgesync", VARIABLE).get_completions(words, "000")
    assert [(item.value, item.help) for item in found] == [(known.id, known.brought) for known in revisions()]


def _stripped(screen: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in screen.splitlines())
