"""The checks of a running server, locally and through its public address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from bridge.doctor.findings import Finding, fail, ok, skip, warn
from bridge.doctor.http import Reply, Unreachable, fetch
from bridge.doctor.subject import Subject
from bridge.doctor.symptoms import START, explain_refusal
from bridge.doctor.verdicts import (
    ORIGIN,
    Arrival,
    judge_base_url,
    judge_preflight,
    judge_silence,
    judge_stream,
    root_of,
)

ANSWER_DEADLINE = 120.0
"""Seconds for the model to answer a greeting."""
PIECES, PAUSE = 6, 0.4
"""Number of pieces in the test stream, and the seconds between them."""
NO_URL = skip("no public URL is known", "name it: codex-openai-proxy doctor --url https://HOST")


async def port(subject: Subject) -> Finding:
    """Check that no other program uses the port."""
    elsewhere = f"stop it, or {START} --addr 127.0.0.1:{subject.port + 1}"
    try:
        reply = await fetch("GET", f"{subject.local}/healthz", deadline=5, certfile=subject.certfile)
    except Unreachable as error:
        if "nothing listens" in str(error):
            return warn(f"{subject.port} is free: the server is not running", START)
        return fail(f"{subject.port} is taken by another program: {error}", elsewhere)
    if reply.status == 200 and _json(reply.body).get("status") == "ok" and "x-request-id" in reply.headers:
        return ok(f"{subject.port} is used by this server")
    return fail(
        f"{subject.port} is taken by another program, which answers with status {reply.status}",
        elsewhere,
    )


async def local_models(subject: Subject) -> Finding:
    """Check that the server lists its models locally."""
    return await _models(subject, subject.local)


async def public_models(subject: Subject) -> Finding:
    """Check that the server lists its models through the public address."""
    return await _models(subject, root_of(subject.url)) if subject.url else NO_URL


async def _models(subject: Subject, root: str) -> Finding:
    try:
        reply = await fetch("GET", f"{root}/v1/models", subject.credentials, certfile=subject.trusted_at(root))
    except Unreachable as error:
        if root == subject.local:
            return skip("the server is not running", START)
        return fail(
            f"{root} cannot be reached: {error}",
            "check that the hostname is the tunnel's and the tunnel runs: codex-openai-proxy serve --tunnel HOSTNAME",
        )
    if reply.status != 200:
        return explain_refusal(reply.status, reply.body)
    models = [str(model.get("id")) for model in _json(reply.body).get("data", ())]
    if not models:
        return fail(f"{root} answers, but not like this server", "find out which program listens there")
    return ok(f"{len(models)} models, the first is {models[0]}")


async def chat(subject: Subject) -> Finding:
    """Check that the model answers a streamed chat; this uses a few tokens."""
    body = {
        "model": subject.model,
        "stream": True,
        "messages": [{"role": "user", "content": "Say hi and nothing else."}],
    }
    try:
        reply = await fetch(
            "POST",
            f"{subject.local}/v1/chat/completions",
            subject.credentials,
            json.dumps(body).encode(),
            deadline=ANSWER_DEADLINE,
            certfile=subject.certfile,
        )
    except Unreachable as error:
        return skip("the server is not running", START) if "nothing listens" in str(error) else fail(str(error), START)
    if reply.status != 200:
        return explain_refusal(reply.status, reply.body)
    events = list(_events(reply))
    if failure := next((event for _, event in events if "error" in event), None):
        return explain_refusal(reply.status, json.dumps(failure).encode())
    said = [(at, event["choices"][0]["delta"].get("content") or "") for at, event in events if event.get("choices")]
    text = "".join(piece for _, piece in said)
    if not text:
        return fail("the answer was empty", "the log of the server says more")
    first = next(at for at, piece in said if piece)
    return ok(f"{subject.model} said {text[:40]!r}, the first word after {first:.1f} s")


async def local_preflight(subject: Subject) -> Finding:
    """Check that browsers and Cursor's window may send requests to the local server."""
    return await _preflight(subject, subject.local)


async def public_preflight(subject: Subject) -> Finding:
    """Check the same through the public address."""
    return await _preflight(subject, root_of(subject.url)) if subject.url else NO_URL


async def _preflight(subject: Subject, root: str) -> Finding:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    try:
        reply = await fetch("OPTIONS", f"{root}/v1/chat/completions", asked, certfile=subject.trusted_at(root))
    except Unreachable as error:
        return skip("the server is not running", START) if root == subject.local else fail(str(error), START)
    return judge_preflight(reply.status, reply.headers)


async def base_url(subject: Subject) -> Finding:
    """Check that Cursor's servers can use the base URL."""
    return judge_base_url(subject.url) if subject.url else NO_URL


async def stream(subject: Subject) -> Finding:
    """Check that a stream arrives piece by piece through the public address."""
    return await _stream(subject, f"pieces={PIECES}&pause={PAUSE}", 30) if subject.url else NO_URL


async def silence(subject: Subject) -> Finding:
    """Check that a stream completes although the model is silent for longer than a tunnel's time-out."""
    if not subject.url:
        return NO_URL
    return await _stream(subject, f"silence={subject.silence:g}", subject.silence + 30)


async def _stream(subject: Subject, query: str, deadline: float) -> Finding:
    try:
        url = f"{root_of(subject.url or '')}/v1/doctor/stream?{query}"
        reply = await fetch("GET", url, subject.credentials, deadline=deadline)
    except Unreachable as error:
        return fail(str(error), "see the check `public-models`")
    if reply.status != 200:
        return explain_refusal(reply.status, reply.body)
    arrivals = [Arrival(event["sent"], at) for at, event in _events(reply)]
    ended = b"[DONE]" in reply.body
    if query.startswith("silence"):
        return judge_silence(subject.silence, ended=ended, after=reply.pieces[-1].at if reply.pieces else 0)
    return judge_stream(arrivals, cut=not ended)


def _events(reply: Reply) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield the JSON events of a stream, each with the time at which its last byte arrived."""
    rest = b""
    for piece in reply.pieces:
        *lines, rest = (rest + piece.data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                yield piece.at, _json(line.removeprefix(b"data: "))


def _json(body: bytes) -> dict[str, Any]:
    try:
        value: object = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
