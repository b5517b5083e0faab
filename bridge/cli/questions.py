"""Sends a request to the running server, for commands that show its answer."""

from __future__ import annotations

import json
from typing import Any

import anyio
import click

from bridge.doctor.http import Unreachable, fetch
from bridge.doctor.subject import Subject
from bridge.doctor.symptoms import START, explain_refusal


class NoServer(click.ClickException):
    """No server answers at the address."""


def ask(subject: Subject, path: str) -> Any:
    """Return the decoded JSON of the server's answer to GET `path`.

    Raises:
        NoServer: the server does not answer.
        click.ClickException: it refuses the request. Both messages say what to do.
    """

    async def question() -> Any:
        reply = await fetch("GET", f"{subject.local}{path}", subject.credentials, certfile=subject.certfile)
        if reply.status != 200:
            finding = explain_refusal(reply.status, reply.body)
            raise click.ClickException(f"{finding.reason}. {finding.fix}")
        return json.loads(reply.body)

    try:
        return anyio.run(question)
    except Unreachable as error:
        raise NoServer(f"{subject.local} does not answer: {error}. Start the server: {START}") from None


def ask_for_usage(subject: Subject) -> Any:
    """Return the answer to GET /usage that the server's own key gets.

    Raises:
        NoServer, click.ClickException: as `ask`; the key is a named one.
    """
    usage = ask(subject, "/usage")
    if "key" in usage:
        raise click.ClickException(
            f"this is the key of {usage['key']['name']}, which does not show the account; use the server's own key, or "
            "`status --json` for what this key may see"
        )
    return usage
