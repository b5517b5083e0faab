"""A minimal HTTP relay for codex: the bare client, writing to a socket.

It checks and stores nothing, and speaks just enough HTTP to be read. Any Python server costs at least as much:
reading a pipe, parsing a line, and writing a chunk to a socket.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial

import anyio
import orjson

from bridge.codex.launch import Launcher
from tests.benchmarks.servers import CONVERSATION
from tests.benchmarks.subjects import CODEX, Bare, BareConversation, Heard, bare_client

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BEFORE = (
    b'data: {"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1795635700,'
    b'"model":"gpt-5.2-codex","choices":[{"index":0,"delta":{"content":'
)
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
AFTER = b'},"logprobs":null,"finish_reason":null}]}\n\n'


class Relayed(Heard):
    """Writes each piece of an answer to a socket."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self._writer = writer

    def hear(self, text: str) -> None:
        chunk = BEFORE + orjson.dumps(text) + AFTER
        self._writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))


async def answer(
    bare: Bare,
    conversations: dict[str, BareConversation],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer the requests of a connection one after the other."""
    while head := await _head(reader):
        body = orjson.loads(await reader.readexactly(int(head["content-length"])))
        conversation = conversations.setdefault(head[CONVERSATION], bare.conversation())
        writer.write(HEAD)
        await conversation.ask(orjson.loads(body["messages"][-1]["content"]), Relayed(writer))
        writer.write(END)
    writer.close()


async def _head(reader: asyncio.StreamReader) -> dict[str, str]:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return {}
    return dict(line.split(": ", 1) for line in lines[1:] if line)


async def main(port: int) -> None:
    """Serve until the process is terminated."""
    async with bare_client(Launcher(os.environ.get(CODEX))) as bare:
        server = await asyncio.start_server(partial(answer, bare, {}), "127.0.0.1", port)
        print("listens", file=sys.stderr, flush=True)  # noqa: T201
        await server.serve_forever()


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]))
