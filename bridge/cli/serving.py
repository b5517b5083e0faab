"""Runs the server with the given settings and prints where it listens."""

from __future__ import annotations

import functools
import gc
from contextlib import suppress
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click
from msgspec.structs import replace

from bridge import __version__
from bridge.cli.cursor_values import show_values
from bridge.config import PROGRAM, Settings
from bridge.http.listeners import Listeners, allow_descriptors, listen
from bridge.keys.file import KeysError
from bridge.recordings.cases import CaseError
from bridge.recordings.demo import is_logged_out, shipped_cases
from bridge.serve import serve as run_server
from bridge.store.response import StoreError
from bridge.tunnel.errors import TunnelError
from codex_rpc.errors import CodexError

if TYPE_CHECKING:
    from bridge.tunnel.public_address import PublicAddress

DEMO = """
  DEMO: Codex is not logged in, so the answers are recordings; other requests get an error.
  For live answers, log in (`make login`, or `codex-openai-proxy login`) and restart the server.
"""


def run(settings: Settings, tunnel: str | None, cloudflared: str | None, *, demo: bool) -> None:
    """Serve until a signal stops the server; also run the tunnel if one is named.

    Raises:
        click.ClickException: the server cannot start, or ended before it was stopped.
    """
    if demo and settings.record is settings.replay is None and anyio.run(is_logged_out, settings.codex):
        settings = replace(settings, replay=str(shipped_cases()), demo=True, store=None, agents=())
    _check_certificate(settings)
    allow_descriptors()
    try:
        listeners = listen(settings.host, settings.port)
    except OSError as error:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host or "*"
        raise click.ClickException(
            f"cannot listen on {host}:{settings.port}: {error.strerror or error}. Choose another address with --addr."
        ) from None
    announce = functools.partial(_announce, listeners, settings)
    with listeners:
        try:
            serve = run_server
            if tunnel:
                public = _tunnel(tunnel, listeners.port, cloudflared, settings)
                serve = functools.partial(run_server, beside=(public.run,), tunnel=lambda: public.told)
            gc.freeze()  # Imported objects stay alive; a full collection of them would stop all answers for 20 ms.
            loop = {"use_uvloop": util.find_spec("uvloop") is not None}
            anyio.run(serve, settings, listeners, announce, backend_options=loop)
        except (CodexError, StoreError, CaseError, TunnelError, KeysError) as error:
            raise click.ClickException(str(error)) from None


def _check_certificate(settings: Settings) -> None:
    if (settings.certfile is None) != (settings.keyfile is None):
        raise click.UsageError("--certfile and --keyfile go together: a certificate needs its key.")
    if settings.certfile is None or settings.keyfile is None:
        return
    from bridge.settings.certificate import (  # noqa: PLC0415 - most servers have none
        CertificateError,
        check_certificate,
    )

    try:
        check_certificate(settings.certfile, settings.keyfile)
    except CertificateError as error:
        raise click.ClickException(f"HTTPS is not possible: {error}.") from None


def _tunnel(where: str, port: int, cloudflared: str | None, settings: Settings) -> PublicAddress:
    from bridge.tunnel.public_address import public_address  # noqa: PLC0415 - most servers have no tunnel

    tell = functools.partial(show_values, key=settings.api_key)
    return public_address(where, port, cloudflared, tell, secure=settings.certfile is not None)


def _announce(listeners: Listeners, settings: Settings) -> None:
    host = listeners.sockets[0].getsockname()[0]
    if host in {"0.0.0.0", "::", "127.0.0.1", "::1"}:  # noqa: S104 - a comparison
        host = "localhost"
    scheme, name = "https" if settings.certfile else "http", f"[{host}]" if ":" in host else host
    anyone = "only this machine may connect; set an API key to allow others"
    has_keys = settings.keys_file is not None and Path(settings.keys_file).exists()
    who = "clients need an API key" if settings.api_key or has_keys else anyone
    url = f"{scheme}://{name}:{listeners.port}/v1"
    with suppress(OSError):  # a server needs no terminal
        click.echo(f"{PROGRAM} {__version__} listens on {url} ({who})", err=True)
        if settings.demo:
            click.secho(DEMO, err=True, bold=True)
        elif settings.replay is not None:
            click.echo(f"It replays the recordings in {settings.replay}; no codex runs.", err=True)
        elif settings.record is not None:
            click.echo(f"It records every conversation in {settings.record}.", err=True)
