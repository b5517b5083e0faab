"""`codex-openai-proxy tunnel`: sets up a public address for Cursor and runs the tunnel."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio
import click

from bridge.cli import terminal
from bridge.cli.cursor_values import show_values
from bridge.cli.server_options import server_options, the_address, the_key
from bridge.codex.models import DEFAULT, reverse
from bridge.doctor.http import Unreachable, fetch
from bridge.doctor.subject import Subject
from bridge.settings.sources import setting
from bridge.tunnel import files
from bridge.tunnel.cloudflared import find_cloudflared
from bridge.tunnel.errors import TunnelError
from bridge.tunnel.public_address import QUICK, public_address
from bridge.tunnel.setup import set_up


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy tunnel --hostname codex.example.com --setup
  codex-openai-proxy serve --tunnel codex.example.com      server and tunnel together
  codex-openai-proxy tunnel --quick                        a trycloudflare.com address for a running server
  codex-openai-proxy tunnel --show                         what to paste into Cursor"""
)
@server_options
@setting("--cloudflared", "The cloudflared executable.  [default: the one on PATH]", metavar="PATH")
@click.option("--hostname", help="The public hostname, in a domain that Cloudflare serves for you.", metavar="HOSTNAME")
@click.option("--quick", is_flag=True, help="Use a trycloudflare.com address, new at each start; for testing.")
@click.option("--name", default="codex-openai-proxy", show_default=True, help="The tunnel's name at Cloudflare.")
@click.option("--setup", "only_setup", is_flag=True, help="Set the tunnel up, but do not run it.")
@click.option("--show", is_flag=True, help="Only show what to paste into Cursor.")
@click.option("--json", "as_json", is_flag=True, help="With --show: print one JSON object instead of text.")
def tunnel(
    *,
    addr: str,
    certfile: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    cloudflared: str | None,
    hostname: str | None,
    quick: bool,
    name: str,
    only_setup: bool,
    show: bool,
    as_json: bool,
) -> None:
    """Give the server a public address, for Cursor.

    Sets up what is missing: the Cloudflare login, the tunnel, its DNS name, its configuration (HTTP/2; other
    hostnames get a 404), and an API key. Then runs cloudflared until Ctrl-C. The server must already run and require
    that key; `serve --tunnel` runs both.

    Exit status: 0 success, 1 failure, 2 the command line is wrong.
    """
    host, port = the_address(addr)
    secure = certfile is not None
    try:
        if show:
            _show(the_key(api_key, api_key_file), as_json=as_json)
            return
        if quick == bool(hostname):
            raise click.UsageError("give either --hostname or --quick")
        if hostname:
            anyio.run(
                partial(set_up, secure=secure), find_cloudflared(cloudflared), hostname, name, port, terminal.waiting
            )
            terminal.show(terminal.sign("ok") + f" {hostname} leads to port {port}, as set in {files.CONFIG}")
        if only_setup:
            click.echo(f"\nRun it:  codex-openai-proxy serve --tunnel {hostname}")
            return
        files.make_key()
        key = the_key(api_key, api_key_file)
        anyio.run(partial(_refuse_open_server, Subject(host=host, port=port, api_key=key, certfile=certfile)))
        tell = partial(show_values, key=key)
        anyio.run(public_address(hostname or QUICK, port, cloudflared, tell, secure=secure).run)
    except (TunnelError, OSError) as error:
        raise click.ClickException(str(error)) from None


async def _refuse_open_server(subject: Subject) -> None:
    """Refuse a tunnel to a server without an API key: requests through it come from this machine, so all are answered.

    Raises:
        TunnelError: the server is not running, requires no key, or requires another one.
    """
    serve = f"start it with that key: codex-openai-proxy serve --addr :{subject.port} --api-key-file {files.KEY_FILE}"
    try:
        without = await fetch("GET", f"{subject.local}/v1/models", certfile=subject.certfile)
        with_key = await fetch("GET", f"{subject.local}/v1/models", subject.credentials, certfile=subject.certfile)
    except Unreachable as error:
        raise TunnelError(f"the server does not answer on port {subject.port}: {error}; {serve}") from None
    if without.status != 401:
        raise TunnelError(f"the server requires no key, so anyone could use your account; {serve}")
    if with_key.status == 401:
        raise TunnelError(f"the server has another key; name it with --api-key-file, or {serve}")


def _show(key: str | None, *, as_json: bool) -> None:
    hostname = files.read_config(files.CONFIG).hostname if files.existing_config() else None
    url = f"https://{hostname}" if hostname else None
    if as_json:
        click.echo(json.dumps({"api_key": key, "base_url": url, "model": reverse(DEFAULT)}))
        return
    if key is None and url is None:
        raise click.ClickException("nothing is set up yet: codex-openai-proxy tunnel --hostname HOSTNAME --setup")
    show_values(url or "(no tunnel is set up)", key)
