"""The socket where people come: its credentials and certificate, renewed while it listens, and how many it takes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from edgesync.clients.daemon_api import DaemonApi
from edgesync.clients.daemon_way import Way, local_way, remote_way
from edgesync.config import Settings, load, reach
from edgesync.daemon import doors as module
from edgesync.daemon.doors import Doors, doors_of, serving
from edgesync.errors import ConfigError, PermanentError, RequestError, UnreachableError
from edgesync.expose.access import CALLER, admission
from tests.fakes.certificates import Authority, Pair

TOKEN = "t" * 32


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def settings_in(folder: Path, **api: Any) -> Settings:
    """As the daemon reads them; the journal is in the same folder."""
    document = {
        "hub": "central",
        "journal": {"url": f"sqlite+aiosqlite:///{folder}/journal.db"},
        "api": {"listen": f"127.0.0.1:{free_port()}", **api},
    }
    file = folder / "edgesync.yaml"
    file.write_text(yaml.safe_dump(document))
    return load(file, {})


async def whoami(request: web.Request) -> web.Response:
    caller = request.get(CALLER)
    return web.json_response({"name": caller.name if caller else ""})


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[Doors]:
    async with doors_of(settings) as doors:
        app = web.Application(middlewares=[admission(doors.access)])
        app.router.add_route("*", "/whoami", whoami)
        async with serving(settings, app, doors):
            yield doors


async def name_by(folder: Path, **environ: str) -> str:
    """Who a command on this host is taken for, that knows nothing but the configuration."""
    found = reach(folder / "edgesync.yaml", {})
    async with DaemonApi(found.url, local_way(found.token, found.certificate, environ)) as daemon:
        return str((await daemon.get("/whoami"))["name"])


async def test_commands_find_their_credential_by_the_configuration(tmp_path: Path) -> None:
    async with listening(settings_in(tmp_path)):
        assert (tmp_path / "local-token").stat().st_mode & 0o777 & ~0o640 == 0
        assert await name_by(tmp_path) == "local"


async def test_a_token_in_the_environment_beats_the_local_one(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"alice operator {TOKEN}\n")
    tokens.chmod(0o600)
    async with listening(settings_in(tmp_path, tokens=str(tokens))) as doors:
        assert await name_by(tmp_path, EDGESYNC_API_TOKEN=TOKEN) == "alice"
        tokens.write_text("")
        for renewable in doors.renewables:
            await renewable.refresh()
        with pytest.raises(RequestError, match="not, or no longer, known"):
            await name_by(tmp_path, EDGESYNC_API_TOKEN=TOKEN)


async def test_who_can_not_read_the_credential_is_told_what_to_do(tmp_path: Path) -> None:
    async with listening(settings_in(tmp_path, reading="closed")):
        (tmp_path / "local-token").unlink()
        with pytest.raises(RequestError, match="needs a credential") as refused:
            await name_by(tmp_path)
    assert "is made by `edgesync run`" in refused.value.remedy
    assert "EDGESYNC_API_TOKEN" in refused.value.remedy


@pytest.mark.parametrize("content", ["alice operator short\n", None])
async def test_a_token_file_that_can_not_be_used_keeps_the_daemon_from_starting(
    tmp_path: Path, content: str | None
) -> None:
    tokens = tmp_path / "tokens"
    if content is not None:
        tokens.write_text(content)
        tokens.chmod(0o600)
    with pytest.raises(ConfigError, match=str(tokens)):
        async with listening(settings_in(tmp_path, tokens=str(tokens))):
            pass


async def test_a_port_that_is_taken_keeps_it_from_starting(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    taken = pytest.raises(ConfigError, match=r"api\.listen: expected a free address")
    with socket.create_server((settings.api.host, settings.api.port)), taken as refused:
        async with listening(settings):
            pass
    assert "another edgesync" in refused.value.remedy


def with_tls(folder: Path, pair: Pair, **more: Any) -> Settings:
    return settings_in(folder, certificate=str(pair.certificate), key=str(pair.key), **more)


def trusting(authority: Authority, own: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


async def serial(settings: Settings, context: ssl.SSLContext, name: str | None = None) -> str:
    """Of the certificate that is shown to whoever asks for that name."""
    _, writer = await asyncio.open_connection(
        settings.api.host, settings.api.port, ssl=context, server_hostname=name or settings.api.host
    )
    found = str(writer.get_extra_info("peercert")["serialNumber"])
    writer.close()
    await writer.wait_closed()
    return found


async def test_a_renewed_certificate_is_shown_to_whoever_comes_then(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    settings = with_tls(tmp_path, authority.issue("api"))
    async with listening(settings) as doors:
        assert doors.certificate is not None
        first = await serial(settings, trusting(authority))
        assert await name_by(tmp_path) == "local"
        authority.issue("api")
        await doors.certificate.refresh()
        second = await serial(settings, trusting(authority))
        assert second != first
        assert await name_by(tmp_path) == "local"
        # One that can't be used changes nothing.
        (tmp_path / "api.key").write_text("nonsense")
        await doors.certificate.refresh()
        assert await serial(settings, trusting(authority)) == second


async def test_when_its_certificate_ends_is_told_at_once_and_after_a_renewal(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    settings = with_tls(tmp_path, authority.issue("api"))
    told: list[datetime] = []
    async with doors_of(settings) as doors:
        assert doors.certificate is not None
        doors.certificate.watched_by(told.append)
        await doors.certificate.refresh()
        (first,) = told
        authority.issue("api", days=30)
        await doors.certificate.refresh()
    assert (told[-1] - first).days == 29


async def test_the_local_credential_is_shown_to_nobody_who_has_another_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    settings = with_tls(tmp_path, authority.issue("api"))
    async with listening(settings):
        authority.issue("api")
        with pytest.raises(PermanentError, match="can't prove that it is the edgesync daemon"):
            await name_by(tmp_path)


async def test_a_client_is_known_by_its_certificate_also_when_the_authority_changes(tmp_path: Path) -> None:
    old, new, other = (Authority(tmp_path, name) for name in ("old", "new", "other"))
    authority = tmp_path / "clients.crt"
    authority.write_bytes(old.file.read_bytes())
    settings = with_tls(tmp_path, old.issue("api"), client_ca=str(authority))
    async with listening(settings) as doors:
        assert doors.certificate is not None

        async def lets_in(client: Pair | None) -> bool:
            way = Way(token=(tmp_path / "local-token").read_text().strip(), tls=trusting(old, client))
            try:
                async with DaemonApi(settings.api.url, way) as daemon:
                    return bool((await daemon.get("/whoami"))["name"])
            except (PermanentError, UnreachableError):
                return False

        # Commands on this host need none.
        assert await lets_in(None)
        assert [await lets_in(authority.issue("client")) for authority in (old, new, other)] == [True, False, False]
        authority.write_bytes(new.file.read_bytes())
        await doors.certificate.refresh()
        assert [await lets_in(authority.issue("client")) for authority in (old, new, other)] == [False, True, False]


@pytest.mark.parametrize("wrong", ["certificate", "key", "client_ca"])
async def test_pem_files_that_can_not_be_used_keep_the_daemon_from_starting(tmp_path: Path, wrong: str) -> None:
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("api")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    files = {"certificate": pair.certificate, "key": pair.key, "client_ca": authority.file, wrong: nonsense}
    settings = settings_in(tmp_path, **{name: str(path) for name, path in files.items()})
    with pytest.raises(ConfigError, match=r"edgesync\.yaml:\d+:\d+: api\.") as refused:
        async with listening(settings):
            pass
    assert "nonsense" in refused.value.remedy


def test_a_command_elsewhere_names_its_files_in_the_environment(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("client")
    both = tmp_path / "client.pem"
    both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    way = remote_way({"EDGESYNC_API_TOKEN": TOKEN, "EDGESYNC_API_CACERT": str(authority.file)})
    assert (way.token, isinstance(way.tls, ssl.SSLContext)) == (TOKEN, True)
    assert isinstance(remote_way({"EDGESYNC_API_CERT": str(both)}).tls, ssl.SSLContext)
    assert remote_way({}) == Way()
    assert TOKEN not in repr(way)
    with pytest.raises(RequestError, match="can't be used"):
        remote_way({"EDGESYNC_API_CERT": str(tmp_path / "nothing")})


async def test_connections_beyond_the_limit_are_turned_away_and_let_in_when_others_have_gone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, max_connections=8)
    address = settings.api.host, settings.api.port
    async with listening(settings):
        kept = [await asyncio.open_connection(*address) for _ in range(8)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection(*address)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        for _, other in kept:
            other.close()
        await asyncio.sleep(0.05)
        assert await name_by(tmp_path) == "local"


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.1)
    settings = settings_in(tmp_path)
    async with listening(settings):
        for said in (b"", b"GET /whoami HTTP/1.1\r\nHost: a\r\nX-Never-"):
            reader, writer = await asyncio.open_connection(settings.api.host, settings.api.port)
            writer.write(said)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()


async def test_files_are_looked_at_again_and_again_whatever_one_of_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH", 0.0)
    looked = asyncio.Queue[None](maxsize=3)

    class Broken:
        async def refresh(self) -> None:
            raise OSError("the disk is gone")

    class Sound:
        async def refresh(self) -> None:
            await looked.put(None)

    doors = Doors(access=None, certificate=None, renewables=[Broken(), Sound()])  # type: ignore[arg-type]  # not asked
    running = asyncio.create_task(doors.run())
    for _ in range(5):
        await looked.get()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
