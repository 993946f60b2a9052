"""How commands come to the daemon: the host's own credential goes to the host's own daemon, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from edgesync.cli.context import Context
from tests.fakes.certificates import Authority

TOKEN = "t" * 64


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a daemon with TLS on this host, whose credential can be read."""
    monkeypatch.delenv("EDGESYNC_API_TOKEN", raising=False)
    pair = Authority(tmp_path, "authority").issue("api")
    (tmp_path / "local-token").write_text(f"{TOKEN}\n")
    file = tmp_path / "edgesync.yaml"
    file.write_text(
        f"hub: central\njournal: {{url: 'sqlite+aiosqlite:///{tmp_path}/journal.db'}}\n"
        f"api: {{listen: '0.0.0.0:9781', certificate: {pair.certificate}, key: {pair.key}}}\n"
    )
    return file


def test_the_configured_daemon_gets_it_and_is_known_by_its_certificate(config: Path) -> None:
    for api in (None, "https://127.0.0.1:9781", "https://127.0.0.1:9781/"):
        url, way = Context(config=config, api=api).way()
        assert (url, way.token) == ("https://127.0.0.1:9781", TOKEN)
        assert isinstance(way.tls, aiohttp.Fingerprint)


def test_another_port_of_this_host_has_another_certificate(config: Path) -> None:
    url, way = Context(config=config, api="https://localhost:1").way()
    assert (url, way.token, way.tls) == ("https://localhost:1", TOKEN, True)


@pytest.mark.parametrize(
    "api", ["https://edgesync.example.org", "http://10.0.0.1:9780", "http://localhost.evil", "http://["]
)
def test_no_other_host_is_shown_it(config: Path, api: str) -> None:
    assert Context(config=config, api=api).way()[1].token == ""


def test_what_the_environment_names_goes_where_it_is_sent(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESYNC_API_TOKEN", "mine")
    for api in (None, "https://edgesync.example.org"):
        assert Context(config=config, api=api).way()[1].token == "mine"
