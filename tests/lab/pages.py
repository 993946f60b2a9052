"""A web server for Glance to fetch images from, with the ways in which such servers fail."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus


@contextmanager
def web_pages(content: bytes) -> Iterator[str]:
    """Its URL: /image has the content, /hangs a half of it and then nothing more, and there is nothing else."""
    over = threading.Event()

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in {"/image", "/hangs"}:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.path == "/image":
                self.wfile.write(content)
            else:
                self.wfile.write(content[: len(content) // 2])
                over.wait()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            over.set()
            server.shutdown()
