"""`codex-openai-proxy login`: logs in by device code over codex's RPC, or runs codex's own login command."""

from __future__ import annotations

import json
import subprocess
from functools import partial

import anyio
import click

from bridge.cli.terminal import show, sign, waiting
from bridge.codex.launch import account_client
from bridge.settings.sources import setting
from bridge.telemetry.report import describe_account
from codex_rpc.client.client import Client
from codex_rpc.errors import CodexError, CodexNotFoundError
from codex_rpc.process.process import find_codex
from codex_rpc.wire.calls import Account, account_login_start, account_read

PATIENCE = 15 * 60.0
"""Seconds for the user to open the page and type the code; the code expires then."""


class LoginFailed(Exception):
    """The login failed; the message says why and what to do."""


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  codex-openai-proxy login                  with a code, in any browser
  codex-openai-proxy login --again          with another account
  codex-openai-proxy login -- --with-api-key < key.txt""",
)
@setting("--codex", "The codex executable.  [default: the one on PATH, else the installed wheel]", metavar="PATH")
@click.option("--again", is_flag=True, help="Log in even if an account is already logged in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON objects, one per line, instead of text.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def login(context: click.Context, codex: str | None, arguments: tuple[str, ...], *, again: bool, as_json: bool) -> None:
    """Log in to Codex with your ChatGPT account.

    Shows a page to open, in any browser on any machine, and a code to type there. Codex stores the login itself; a
    running server notices it at its next request. With ARGUMENTS, Codex's own `codex login ARGUMENTS` runs instead.

    Exit status: 0 an account is logged in, 1 the login failed.
    """
    try:
        if arguments:
            context.exit(subprocess.run([find_codex(codex), "login", *arguments], check=False).returncode)
        anyio.run(partial(_log_in, codex, again=again, as_json=as_json))
    except (CodexNotFoundError, LoginFailed) as error:
        raise click.ClickException(str(error)) from None
    except CodexError as error:
        raise click.ClickException(
            f"{error}. Codex's own login may work: codex-openai-proxy login -- --device-auth"
        ) from None


async def _log_in(codex: str | None, *, again: bool, as_json: bool) -> None:
    async with account_client(codex) as client:
        account = await client.call(account_read())
        if account.ready and not again:
            _tell(account, "already logged in", as_json=as_json)
            return
        await _by_device_code(client, as_json=as_json)
        _tell(await client.call(account_read()), "logged in", as_json=as_json)


async def _by_device_code(client: Client, *, as_json: bool) -> None:
    with waiting("asking for a code"):
        code = await client.call(account_login_start())
    if as_json:
        click.echo(json.dumps({"verification_url": code.url, "user_code": code.code}))
    else:
        click.echo(
            f"Open      {click.style(code.url, underline=True)}\nand type  {click.style(code.code, bold=True)}\n"
        )
    with anyio.move_on_after(PATIENCE):
        with waiting("waiting for you to finish there; Ctrl-C gives up"):
            outcome = await client.login_outcome(code.login_id)
        if outcome.failure:
            raise LoginFailed(
                f"the login failed: {outcome.failure}. Try again, or: codex-openai-proxy login -- --device-auth"
            )
        return
    raise LoginFailed(f"the code was not entered within {PATIENCE / 60:g} minutes. Run the command again for a new one")


def _tell(account: Account, how: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"logged_in": True, "account": describe_account(account)}))
    else:
        show(sign("ok") + f" {how}: {describe_account(account)}")
