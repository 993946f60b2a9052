"""The daemon's own certificate, loaded again when it is renewed: no connection breaks, new ones get the new one."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

from edgesync.clients.certificates import OnCertificate
from edgesync.errors import ConfigError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """PEM files, and where the configuration names the first of them."""

    certificate: str
    key: str
    # Authorities of clients' certificates; None: those are not asked for.
    client_ca: str | None
    place: str

    @property
    def paths(self) -> Sequence[str]:
        return [path for path in (self.certificate, self.key, self.client_ca) if path]


class Certificate:
    """The TLS side of a listening socket."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen = _states(files)
        self._current = _context(files)
        self._ends = _end(files)
        self._on_certificate: OnCertificate = lambda _: None
        # What the socket is made with; each connection is handed over to what is current when it begins.
        self.context = _context(files)
        self.context.sni_callback = self._hand_over

    def watched_by(self, on_certificate: OnCertificate) -> None:
        """Have somebody told when it ends, now and after each renewal."""
        self._on_certificate = on_certificate
        self._tell()

    async def refresh(self) -> None:
        """Load the files again if they are others now; the old certificate goes on when they can't be used."""
        seen = await asyncio.to_thread(_states, self._files)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._current = await asyncio.to_thread(_context, self._files)
            self._ends = await asyncio.to_thread(_end, self._files)
        except ConfigError as error:
            log.error("the renewed certificate can't be used", why=error.message, remedy=error.remedy)  # noqa: TRY400 - a sentence
        else:
            log.info("certificate read again", file=self._files.certificate)
            self._tell()

    def _tell(self) -> None:
        if self._ends is not None:
            self._on_certificate(self._ends)

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _made_with: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # The certificate may be readable before the key that belongs to it is there: both or neither.
    problem = f"{files.place}: api.certificate: expected a certificate and its key in PEM files"
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        if files.client_ca:
            problem = f"{files.place}: api.client_ca: expected certificates in a PEM file"
            context.load_verify_locations(files.client_ca)
            # Commands on this host have none; `expose.access` sees to it that others do.
            context.verify_mode = ssl.CERT_OPTIONAL
    except OSError as error:  # SSLError is one, too
        raise ConfigError(
            [f"{problem}: {error.strerror or error}"], remedy=f"look at {', '.join(files.paths)}, and who may read them"
        ) from error
    return context


def _end(files: Files) -> datetime | None:
    """When the daemon's own certificate ends, which is the first in its file; None when only OpenSSL can read it."""
    try:
        return x509.load_pem_x509_certificates(Path(files.certificate).read_bytes())[0].not_valid_after_utc
    except (OSError, ValueError) as error:
        log.warning("nobody watches when the certificate ends", file=files.certificate, why=str(error))
        return None


def _no_password() -> str:
    """Instead of a question on the terminal, which nobody would answer."""
    return ""


def _states(files: Files) -> Sequence[object]:
    return [_state(path) for path in files.paths]


def _state(path: str) -> object:
    """Which file is there; None: none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a path as it was written
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
