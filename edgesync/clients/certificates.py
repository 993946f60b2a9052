"""Notices when the certificate ends that a server shows: somebody should renew it before."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

# Told of every connection that is made with TLS.
OnCertificate = Callable[[datetime], None]


async def watched(tls: ssl.SSLContext | bool, on_certificate: OnCertificate) -> ssl.SSLContext | bool:
    """What aiohttp takes as `ssl`, and tells of the certificates.

    Of those that are not verified (False) Python tells nothing.
    """
    if tls is False:
        return False
    # Reading the system's authorities takes a moment.
    context = await asyncio.to_thread(ssl.create_default_context) if tls is True else tls

    class Watched(ssl.SSLObject):
        """aiohttp itself shows the certificate only while an answer is being read, which may be over at once."""

        def do_handshake(self) -> None:
            super().do_handshake()
            if shown := self.getpeercert():
                on_certificate(datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC))

    context.sslobject_class = Watched
    return context
