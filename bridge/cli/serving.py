"""Runs the server that the settings describe, and tells where it listens."""

from __future__ import annotations

import functools
import gc
from importlib import util
from typing import Any

import anyio
import click
from msgspec.structs import replace

from bridge import __version__
from bridge.cases import CaseError
from bridge.cli.cursor_values import show_values
from bridge.config import Settings
from bridge.demo import nobody_is_logged_in, shipped_cases
from bridge.descriptors import allow_descriptors
from bridge.folders import PROGRAM
from bridge.server import Beside, listen
from bridge.server import serve as run_server
from bridge.stored import StoreError
from bridge.tunnel.errors import TunnelError
from codex_rpc.errors import CodexError

DEMO = """
  DEMO: nobody is logged in to Codex, so the answers are recordings; only recorded requests have one.
  For live answers log in (`make login`, or `codex-openai-proxy login`) and start the server again.
"""


def run(settings: Settings, tunnel: str | None, cloudflared: str | None, *, demo: bool) -> None:
    """Serve until a signal stops it, with a tunnel beside it if one is named.

    Raises:
        click.ClickException: it cannot start, or ended before it was told to.
    """
    if demo and settings.record is settings.replay is None and anyio.run(nobody_is_logged_in, settings.codex):
        settings = replace(settings, replay=str(shipped_cases()), demo=True)
    if settings.replay is not None:
        settings = replace(settings, store=None)  # recorded responses do not belong among the user's own
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        raise click.ClickException(
            f"cannot listen on {host}:{settings.port}: {error.strerror or error}. Choose another address with --addr."
        ) from None
    announce = functools.partial(_announce, listener.getsockname(), settings)
    try:
        beside = _tunnel(tunnel, listener.getsockname()[1], cloudflared, settings.api_key) if tunnel else ()
        serve = functools.partial(run_server, beside=beside)
        gc.freeze()  # What is imported stays: a full collection that looks at all of it stops every answer for 20 ms.
        allow_descriptors()
        loop = {"use_uvloop": util.find_spec("uvloop") is not None}
        anyio.run(serve, settings, listener, announce, backend_options=loop)
    except (CodexError, StoreError, CaseError, TunnelError) as error:
        listener.close()
        raise click.ClickException(str(error)) from None


def _tunnel(where: str, port: int, cloudflared: str | None, key: str | None) -> tuple[Beside, ...]:
    from bridge.tunnel.public_address import public_address  # noqa: PLC0415 - most servers have no tunnel

    return (public_address(where, port, cloudflared, functools.partial(show_values, key=key)).run,)


def _announce(address: tuple[Any, ...], settings: Settings) -> None:
    host = "localhost" if address[0] in {"0.0.0.0", "::", "127.0.0.1"} else address[0]  # noqa: S104 - a comparison
    anyone = "only this machine may connect; set an API key to allow others"
    who = "clients need the API key" if settings.api_key else anyone
    click.echo(f"{PROGRAM} {__version__} listens on http://{host}:{address[1]}/v1 ({who})", err=True)
    if settings.demo:
        click.secho(DEMO, err=True, bold=True)
    elif settings.replay is not None:
        click.echo(f"It replays the recordings in {settings.replay}; no codex runs.", err=True)
    elif settings.record is not None:
        click.echo(f"It records every conversation in {settings.record}.", err=True)
