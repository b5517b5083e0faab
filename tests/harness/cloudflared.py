"""A stand-in for cloudflared: its commands, log lines and metrics server; Cloudflare itself is a file.

Run as a program. Its account lives in `$HOME/.cloudflared`; STAND_IN_FAULT may be `no connection` or `crash`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOME = Path.home() / ".cloudflared"
TUNNELS = HOME / "tunnels.json"
QUICK = "brave-new-words.trycloudflare.com"
FAULT = os.environ.get("STAND_IN_FAULT")
STAMP = "2025-08-21T15:34:00Z"


def write_stand_in(folder: Path) -> Path:
    """Write an executable `cloudflared` that runs this file."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "cloudflared"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    program.chmod(0o755)
    return program


def main(arguments: list[str]) -> int:
    flags, words = _read(arguments)
    match words:
        case [] if "version" in flags:
            _print("cloudflared version 2025.8.1 (built 2025-08-21-1534 UTC)")
        case ["tunnel", "login"]:
            HOME.mkdir(exist_ok=True)
            _print(
                "Please open the following URL and log in with your Cloudflare account:\n\nhttps://dash.example/argo"
            )
            (HOME / "cert.pem").write_text("certificate")
        case ["tunnel", "list"]:
            known = [it for it in _tunnels() if it["name"] == flags["name"]]
            _print(json.dumps(known or None))
        case ["tunnel", "create", name]:
            if not (HOME / "cert.pem").exists():
                return _fail("Cannot determine default origin certificate path. No file cert.pem in [~/.cloudflared]")
            tunnel = {"id": str(uuid.uuid4()), "name": name}
            (HOME / f"{tunnel['id']}.json").write_text("{}")
            TUNNELS.write_text(json.dumps([*_tunnels(), tunnel]))
            _print(json.dumps(tunnel))
        case ["tunnel", "route", "dns", tunnel_id, hostname]:
            (HOME / f"{hostname}.dns").write_text(tunnel_id)
            _log("INF", f"Added CNAME {hostname} which will route to this tunnel tunnelID={tunnel_id}")
        case ["tunnel", "ingress", "validate"]:
            text = Path(flags["config"]).read_text()
            services = re.findall(r"service: (\S+)", text)
            if not services or services[-1] != "http_status:404":
                return _fail("Validation failed: The last ingress rule must match all URLs")
            _print(f"Validating rules from {flags['config']}\nOK")
        case ["tunnel", "run"] if "config" in flags:
            _run(None)
        case ["tunnel"] if "url" in flags:
            if Path(flags["config"]).read_text().strip():
                return _fail("quick tunnels take no configuration")
            _run(QUICK)
        case _:
            return _fail(f"the stand-in does not know {arguments}")
    return 0


def _read(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split the arguments into flags and words; all flags but two have a value."""
    flags: dict[str, str] = {}
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("--"):
            words.append(argument)
        elif argument in {"--version", "--no-autoupdate", "--overwrite-dns"}:
            flags[argument[2:]] = ""
        else:
            flags[argument[2:]] = next(rest)
    return flags, words


def _tunnels() -> list[dict[str, str]]:
    return json.loads(TUNNELS.read_text()) if TUNNELS.exists() else []


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _log(level: str, text: str) -> None:
    sys.stderr.write(f"{STAMP} {level} {text}\n")
    sys.stderr.flush()


def _fail(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


def _stop(number: int, frame: object) -> None:
    del number, frame
    sys.exit(0)


def _run(quick: str | None) -> None:
    if FAULT == "crash":
        _log("ERR", 'Couldn\'t start tunnel error="Unauthorized: Tunnel not found"')
        sys.exit(1)
    connections = 0 if FAULT == "no connection" else 1

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known: dict[str, dict[str, Any]] = {
                "/ready": {"status": 200 if connections else 503, "readyConnections": connections},
                "/quicktunnel": {"hostname": quick or ""},
            }
            body = json.dumps(known.get(self.path, {})).encode()
            self.send_response(200 if connections else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own signature
            del format, args

    server = None
    for port in (*range(20241, 20246), 0):
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), Metrics)
            break
        except OSError:
            continue
    assert server is not None
    _log("INF", "Thank you for trying Cloudflare Tunnel." if quick else "Starting tunnel tunnelID=made-up")
    if quick:
        _log("INF", "Requesting new quick Tunnel on trycloudflare.com...")
        _log("INF", "|  Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):  |")
        _log("INF", f"|  https://{quick}                                              |")
    _log("INF", f"Starting metrics server on 127.0.0.1:{server.server_port}/metrics")
    if connections:
        place = "connection=f3b8 event=0 ip=198.41.200.23 location=fra07 protocol=http2"
        _log("INF", f"Registered tunnel connection connIndex=0 {place}")
    else:
        _log("ERR", 'Unable to establish connection with Cloudflare edge error="dial tcp: i/o timeout" connIndex=0')
    signal.signal(signal.SIGTERM, _stop)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
