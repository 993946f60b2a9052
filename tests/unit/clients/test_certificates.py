"""The certificate that Glance shows is looked at on the way: somebody is told when it ends."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgesync.clients.glance import GlanceClient
from tests.fakes.glance import FixedAuth

ENDS = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)


class TrustingAuth(FixedAuth):
    """Trusts one certificate, or takes any without a look."""

    def __init__(self, endpoint: str, trusted: str | None) -> None:
        super().__init__(endpoint)
        self._trusted = trusted

    async def tls(self) -> ssl.SSLContext | Literal[False]:  # type: ignore[override]
        return ssl.create_default_context(cafile=self._trusted) if self._trusted else False


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, self-signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "glance")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(ENDS)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "glance.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(pem) + private)
    return file


async def seen(certificate: Path, *, trusted: bool) -> list[datetime]:
    """What is told of a Glance with that certificate."""

    async def stores(_: web.Request) -> web.Response:
        return web.json_response({"stores": []})

    app = web.Application()
    app.router.add_get("/v2/info/stores", stores)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    told: list[datetime] = []
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    auth = TrustingAuth(f"https://127.0.0.1:{server.port}", str(certificate) if trusted else None)
    async with GlanceClient(auth, on_certificate=told.append) as glance:
        await glance.stores()
    await server.close()
    return told


async def test_the_end_of_a_trusted_certificate_is_told(certificate: Path) -> None:
    assert ENDS in await seen(certificate, trusted=True)


async def test_nothing_is_told_where_certificates_are_not_verified(certificate: Path) -> None:
    assert await seen(certificate, trusted=False) == []
