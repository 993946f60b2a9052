"""Notices when the certificate ends that a server shows: somebody should renew it before."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

# Told of every connection that is made with TLS.
OnCertificate = Callable[[datetime], None]


def watched(tls: ssl.SSLContext | Literal[False], on_certificate: OnCertificate) -> ssl.SSLContext | Literal[False]:
    """What aiohttp takes as `ssl`, and tells of the certificates.

    Of those that are not verified (False) Python tells nothing.
    """
    if tls is False:
        return False

    class Watched(ssl.SSLObject):
        """aiohttp itself shows the certificate only while an answer is being read, which may be over at once."""

        def do_handshake(self) -> None:
            super().do_handshake()
            if shown := self.getpeercert():
                on_certificate(datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC))

    tls.sslobject_class = Watched
    return tls
