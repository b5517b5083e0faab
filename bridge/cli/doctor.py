"""`codex-openai-proxy doctor`: checks everything between Codex and the client, with a fix for each fault."""

from __future__ import annotations

import json
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio
import click
from msgspec.structs import replace
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bridge.cli.server_options import keys_file_option, server_options, the_address, the_key
from bridge.cli.terminal import output, show, sign, waiting
from bridge.doctor.checks import CHECKS, LONG_CHECKS, Check, examine
from bridge.doctor.findings import Examined, report
from bridge.doctor.subject import SILENCE, Subject
from bridge.doctor.symptoms import SYMPTOMS, lookup
from bridge.doctor.tunnel_checks import public_address
from bridge.settings.server import KEYS_FILE
from bridge.settings.sources import setting
from bridge.tunnel.files import CONFIG, existing_config


@click.command(
    epilog="""\b
Examples:
  codex-openai-proxy doctor                             everything on this machine, and the tunnel if there is one
  codex-openai-proxy doctor --url https://codex.example.com --long
  codex-openai-proxy doctor --only codex --only login --json
  codex-openai-proxy doctor --explain 502               what a status code or a Cursor message means"""
)
@server_options
@keys_file_option
@setting("--codex", "The codex executable.  [default: the one on PATH, else the installed wheel]", metavar="PATH")
@setting("--cloudflared", "The cloudflared executable.  [default: the one on PATH]", metavar="PATH")
@click.option("--url", help="The public base URL, as entered in Cursor.  [default: the tunnel's]", metavar="URL")
@click.option(
    "--tunnel-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"The tunnel's configuration.  [default: {CONFIG}, if it exists]",
)
@click.option("--model", help="The model for the test chat.  [default: the server's]", metavar="NAME")
@click.option("--only", multiple=True, metavar="CHECK", help="Run only this check; may be repeated.")
@click.option("--long", is_flag=True, help="Also keep a silent stream open through the tunnel for two minutes.")
@click.option(
    "--silence",
    default=SILENCE,
    show_default=True,
    type=click.FloatRange(min=1, max=300),
    metavar="SECONDS",
    help="How long that stream stays silent.",
)
@click.option("--explain", metavar="TEXT", help="Explain a status code or a Cursor message; check nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.pass_context
def doctor(
    context: click.Context,
    *,
    addr: str,
    certfile: str | None,
    api_key: str | None,
    api_key_file: Path | None,
    keys_file: Path | None,
    codex: str | None,
    cloudflared: str | None,
    url: str | None,
    tunnel_config: Path | None,
    model: str | None,
    only: tuple[str, ...],
    silence: float,
    explain: str | None,
    long: bool,
    as_json: bool,
) -> None:
    """Check everything between Codex and your client; say what is wrong and how to fix it.

    The test chat uses a few tokens of your plan. To skip it, name other checks with --only.

    Exit status: 0 nothing is wrong, 1 a check failed, 2 the command line is wrong.
    """
    if explain is not None:
        _explain(explain)
        return
    host, port = the_address(addr)
    config = tunnel_config or existing_config()
    key = the_key(api_key, api_key_file)
    subject = Subject(codex, host, port, key, certfile, url, cloudflared, config, silence=silence)
    subject = replace(subject, keys_file=keys_file or KEYS_FILE)
    if model:
        subject = replace(subject, model=model)
    context.exit(anyio.run(partial(_examine, subject, _chosen(only, long=long), as_json=as_json)))


def _chosen(only: tuple[str, ...], *, long: bool) -> list[Check]:
    by_id = {check.id: check for check in (*CHECKS, *LONG_CHECKS)}
    if unknown := [name for name in only if name not in by_id]:
        raise click.BadParameter(
            f"there is no check {unknown[0]!r}; the checks are {', '.join(by_id)}", param_hint="--only"
        )
    return [by_id[name] for name in only] if only else [*CHECKS, *(LONG_CHECKS if long else ())]


async def _examine(subject: Subject, checks: list[Check], *, as_json: bool) -> int:
    if subject.url is None and (public := await public_address(subject)) is not None:
        subject = replace(subject, url=public.url)
    examined: list[Examined] = []
    async with aclosing(examine(subject, checks, lambda check: waiting(check.title))) as rounds:
        async for one in rounds:
            examined.append(one)
            if not as_json:
                _show(one)
    whole = report(examined)
    if as_json:
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
    return 0 if whole["ok"] else 1


def _show(one: Examined) -> None:
    finding = one.finding
    said = Text(finding.reason)
    if finding.fix:
        said.append(f"\n→ {finding.fix}", "bold" if finding.mark == "fail" else "")
    row = Table.grid(padding=(0, 1))
    row.add_column()
    row.add_column(width=min(24, output().width // 3))
    row.add_column(overflow="fold")
    row.add_row(sign(finding.mark), one.title, said)
    show(row)


def _explain(text: str) -> None:
    found = lookup(text)
    if not found:
        known = ", ".join(symptom.message for symptom in SYMPTOMS)
        raise click.ClickException(f"there is no explanation for {text!r}; there are explanations for: {known}")
    for symptom in found:
        show(Text(symptom.message, "bold"), Padding.indent(symptom.means, 2), Padding.indent(f"→ {symptom.fix}", 2))
