"""`codex-openai-proxy replay`: serves recorded conversations, or checks that their answers are unchanged."""

from __future__ import annotations

from pathlib import Path

import anyio
import click

from bridge.cli.serve import serve
from bridge.recordings.case_folders import load_cases
from bridge.recordings.cases import CaseError


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: codex-openai-proxy replay cases/ --pace max",
)
@click.argument("folder", metavar="DIR")
@click.option("--check", is_flag=True, help="Replay every case and compare the answers byte by byte; serve nothing.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF SERVE]")
@click.pass_context
def replay(context: click.Context, folder: str, options: tuple[str, ...], *, check: bool) -> None:
    """Serve the recorded conversations in DIR, without codex and without a login.

    The same as `serve --replay DIR`.
    """
    if not check:
        serve.main(["--replay", folder, *options], standalone_mode=False)
        return
    if options:
        raise click.UsageError(f"--check serves nothing: {options[0]} has no meaning with it.")
    try:
        context.exit(anyio.run(_check, Path(folder)))
    except CaseError as error:
        raise click.ClickException(str(error)) from None


async def _check(folder: Path) -> int:
    """Return the exit status: 0 if every case gives its recorded answers, else 1."""
    from bridge.cli.check import check_case  # noqa: PLC0415 - help and completion need no server

    failed = False
    for case in load_cases(folder):
        mismatches = await check_case(case)
        failed |= bool(mismatches)
        if not mismatches:
            click.echo(f"ok      {case.name}")
        for mismatch in mismatches:
            click.echo(f"FAILED  {mismatch.file}: {mismatch.reason}")
    return int(failed)
