"""The checks of the tunnel: cloudflared, its configuration, its connections, and the API key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from bridge.doctor.findings import Finding, fail, ok, skip, warn
from bridge.doctor.http import Reply, Unreachable, fetch
from bridge.doctor.subject import Subject
from bridge.tunnel.cloudflared import ask, find_cloudflared, install_hint, version
from bridge.tunnel.config import METRICS_PORTS, problems
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.files import read_config

SET_UP = "codex-openai-proxy tunnel --hostname HOSTNAME --setup"
RUN = "codex-openai-proxy serve --tunnel HOSTNAME"
NO_TUNNEL = skip("no tunnel is set up; only Cursor needs one", f"{SET_UP}    (or, to try it: serve --tunnel quick)")


async def cloudflared(subject: Subject) -> Finding:
    """Check that cloudflared is installed, if it is needed."""
    try:
        executable = find_cloudflared(subject.cloudflared)
        return ok(f"version {await version(executable)} at {executable}")
    except TunnelError as error:
        needed = subject.tunnel_config or subject.url or subject.cloudflared
        return fail(str(error).partition(";")[0], install_hint()) if needed else NO_TUNNEL


async def tunnel_config(subject: Subject) -> Finding:
    """Check that cloudflared accepts the configuration, and that it leads to the server."""
    path = subject.tunnel_config
    if path is None:
        return skip("no named tunnel is set up", SET_UP)
    try:
        config = read_config(path)
    except TunnelError as error:
        return fail(str(error), f"fix it, or write it again: {SET_UP}")
    try:
        await ask(find_cloudflared(subject.cloudflared), "tunnel", "--config", str(path), "ingress", "validate")
    except TunnelError as error:
        return fail(f"cloudflared refuses {path}: {error}", f"fix it, or write it again: {SET_UP}")
    if found := list(problems(config, subject.port, secure=subject.certfile is not None)):
        return fail(f"{path}: {'; '.join(found)}", f"fix it, or write it again: {SET_UP}")
    return ok(f"{path} leads {config.hostname} to port {subject.port} over http2")


async def tunnel(subject: Subject) -> Finding:
    """Check that cloudflared runs on this machine and is connected."""
    reply = await _ask_cloudflared(subject, "ready")
    if reply is None:
        if subject.tunnel_config is None and subject.url is None:
            return NO_TUNNEL
        return fail("cloudflared is not running on this machine", RUN)
    connections = _number(reply.body, "readyConnections")
    if not connections:
        return fail(
            "cloudflared is not connected: its log has no line `Registered tunnel connection`",
            "allow TCP port 7844 to *.argotunnel.com, and set `protocol: http2`, because UDP is blocked more often",
        )
    return ok(f"cloudflared is connected ({connections} times `Registered tunnel connection`)")


class PublicAddress(Struct, frozen=True):
    """A public base URL, without `/v1`."""

    url: str
    source: str
    """Where it comes from, in words."""
    leads_here: bool = True
    """False if it is not certain that it leads to the server."""


async def public_address(subject: Subject) -> PublicAddress | None:
    """Return the public address of the server; None if there is none.

    That is the address of the tunnel that was started with the server, else that of the named tunnel, else that of a
    quick tunnel that runs on this machine and may belong to another program.
    """
    tunnel = None
    with suppress(Unreachable):
        reply = await fetch(
            "GET", f"{subject.local}/usage", subject.credentials, deadline=10, certfile=subject.certfile
        )
        tunnel = _field(reply.body, "tunnel")
    return await address_of(tunnel, subject)


async def address_of(tunnel: str | None, subject: Subject) -> PublicAddress | None:
    """Return the same, if the address of the server's own `tunnel` is known."""
    if tunnel is not None:
        return PublicAddress(tunnel, "the tunnel that was started with the server")
    if subject.tunnel_config:
        with suppress(TunnelError):
            config = read_config(subject.tunnel_config)
            leads_here = not [*problems(config, subject.port, secure=subject.certfile is not None)]
            source = f"the named tunnel in {subject.tunnel_config}"
            return PublicAddress(f"https://{config.hostname}", source, leads_here) if config.hostname else None
    reply = await _ask_cloudflared(subject, "quicktunnel")
    hostname = _field(reply.body, "hostname") if reply else None
    if not hostname:
        return None
    return PublicAddress(f"https://{hostname}", "a quick tunnel that runs on this machine", leads_here=False)


async def api_key(subject: Subject) -> Finding:
    """Check that a public server requires a key."""
    try:
        reply = await fetch("GET", f"{subject.local}/v1/models", deadline=10, certfile=subject.certfile)
    except Unreachable:
        return skip("the server is not running", "codex-openai-proxy serve")
    if reply.status == 401:
        return ok("the server requires a key")
    if subject.url or subject.tunnel_config:
        return warn(
            "the server requires no key: anyone who knows the tunnel's address can use your account",
            f"{RUN}    (which creates a key; or set CODEX_OPENAI_PROXY_API_KEY)",
        )
    return ok("no key is set: only programs on this machine may connect")


async def _ask_cloudflared(subject: Subject, what: str) -> Reply | None:
    for address in _metrics_addresses(subject):
        with suppress(Unreachable):
            reply = await fetch("GET", f"http://{address}/{what}", deadline=2)
            # A cloudflared with a named tunnel reports an empty hostname; a quick tunnel may be at the next address.
            if _field(reply.body, "hostname" if what == "quicktunnel" else "readyConnections") not in (None, ""):
                return reply
    return None


def _metrics_addresses(subject: Subject) -> Sequence[str]:
    with suppress(TunnelError):
        if subject.tunnel_config and (named := read_config(subject.tunnel_config).metrics):
            return (named,)
    return [f"127.0.0.1:{port}" for port in METRICS_PORTS]


def _field(body: bytes, name: str) -> Any:
    with suppress(ValueError, AttributeError):
        return json.loads(body).get(name)
    return None


def _number(body: bytes, name: str) -> int:
    value = _field(body, name)
    return value if isinstance(value, int) else 0
