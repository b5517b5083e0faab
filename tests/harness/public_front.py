"""A reverse proxy on loopback in front of the server, which works or has a planted fault."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias

Fault: TypeAlias = Literal["none", "buffers", "no cors", "cuts", "refuses"]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Front:
    """The running reverse proxy. `fault` may change at any time; `status` is the status of refusals."""

    upstream_port: int
    port: int = 0
    fault: Fault = "none"
    status: int = 502
    body: bytes = b"<html>error code: 502</html>"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.close_connection = True
        front = self.front
        if front.fault == "refuses" or (front.fault == "no cors" and self.command == "OPTIONS"):
            self._answer(front.status, front.body)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", front.upstream_port)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            response = upstream.getresponse()
        except OSError:
            self._answer(502, b"error code: 502")
            return
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()
        held = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            while piece := response.read1():
                if front.fault == "buffers":
                    held += piece
                    continue
                self.wfile.write(piece)
                if front.fault == "cuts" and response.getheader("content-type", "").startswith("text/event-stream"):
                    break
            self.wfile.write(held)
        upstream.close()

    do_POST = do_GET  # noqa: N815 - the name that the library calls
    do_OPTIONS = do_GET  # noqa: N815 - the name that the library calls

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own signature
        del format, args


@contextmanager
def public_front(upstream_port: int) -> Generator[Front]:
    """Run a `Front` on a free loopback port, in threads, while the block runs."""
    front = Front(upstream_port)
    handler = type("Handler", (_Handler,), {"front": front})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        front.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield front
        finally:
            server.shutdown()
            thread.join()
