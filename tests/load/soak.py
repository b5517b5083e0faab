"""Runs all kinds of clients at once against the real program and checks every text they receive.

`make soak` runs thousands of conversations and prints the memory used; a test runs a few. Nothing depends on a clock.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import psutil

from tests.harness.codex_home import write_home
from tests.harness.compression import COMPRESS
from tests.harness.program import Program, program
from tests.harness.proxy import MODEL, Stream, user
from tests.harness.script import Call, Received, Reply, Text, begun, reply
from tests.harness.script import Cut as CutOff
from tests.harness.upstream import scripted_upstream

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
MEGABYTE = 1 << 20
FOREIGN = (
    r'{"q":"\ud83d"}',
    '{"n":1e400}',
    '{"n":NaN}',
    '{"a":1,"a":2}',
    "[" * 200 + "]" * 200,
    '{"q":"cut',
    '{"q":"\u2028\u0085"}',
)
"""What the model writes as arguments of a call: JSON that codex or a strict decoder cannot parse, and odd JSON."""
CODINGS = ("gzip", "zlib", "raw deflate", "zstd")


def said_to(request: str) -> str:
    """Return the model's answer to a question: a text that is unique to it."""
    return "".join(f"{request}/{number} " for number in range(20))


def respond(request: Received) -> Reply:
    """Return the model's reply: it answers the last question, calls a tool, or breaks off, as the question says."""
    last = request.input[-1]
    if last["type"] == "function_call_output":
        return reply(f"seen {last['output']}")
    question = last["content"][0]["text"]
    pieces = Text(tuple(f"{question}/{number} " for number in range(20)))
    if question.startswith("foreign"):
        number = int(question.split()[1])
        return reply(Call("look", FOREIGN[number % len(FOREIGN)], call_id=f"call_{number}"))
    if question.startswith("tool"):
        return reply(Call("look", call_id=f"call_{question.replace(' ', '_')}"))
    if question.startswith("break"):
        return begun(pieces).then(CutOff())
    return reply(pieces)


def call_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return the function of a message's only call."""
    [call] = message["tool_calls"]
    return call["function"]


@dataclass
class Soak:
    """The conversations of a run and the faults found."""

    client: httpx2.AsyncClient
    done: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def check(self, kind: str, question: str, got: object, wanted: object) -> None:
        """Count a conversation and note its fault if the text is wrong."""
        self.done[kind] += 1
        if got != wanted:
            self.wrong.append(f"{kind} {question}: got {got!r:.300}, wanted {wanted!r:.100}")

    async def whole(self, number: int) -> None:
        """Ask a question and follow-up questions in one conversation."""
        history: list[dict[str, Any]] = []
        for turn in range(2):
            question = f"whole {number} {turn}"
            history.append(user(question))
            answer = await self._post(history)
            history.append(answer["choices"][0]["message"])
            self.check("whole", question, history[-1]["content"], said_to(question))

    async def streamed(self, number: int) -> None:
        """Read a stream to its end."""
        question = f"stream {number}"
        async with self._stream(question) as response:
            stream = await Stream(response).read()
        self.check("streamed", question, (stream.text, stream.done), (said_to(question), True))

    async def leaving(self, number: int) -> None:
        """Disconnect after the first chunk."""
        async with self._stream(f"leave {number}") as response:
            async for _ in Stream(response):
                break
        self.done["leaving"] += 1

    async def tools(self, number: int) -> None:
        """Let the model call a tool and return the result; every third client never does."""
        history = [user(f"tool {number}")]
        message = (await self._post(history, tools=[TOOL]))["choices"][0]["message"]
        [call] = message["tool_calls"]
        if number % 3 == 0:
            self.done["tools left open"] += 1
            return
        result: dict[str, Any] = {"role": "tool", "tool_call_id": call["id"], "content": f"result {number}"}
        answer = await self._post([*history, message, result], tools=[TOOL])
        self.check("tools", str(number), answer["choices"][0]["message"]["content"], f"seen result {number}")

    async def foreign(self, number: int) -> None:
        """Take a call with odd arguments, and send it back with its result."""
        history = [user(f"foreign {number}")]
        message = (await self._post(history, tools=[TOOL]))["choices"][0]["message"]
        self.check("foreign", str(number), call_of(message)["arguments"], FOREIGN[number % len(FOREIGN)])
        result: dict[str, Any] = {"role": "tool", "tool_call_id": f"call_{number}", "content": f"result {number}"}
        answer = await self._post([*history, message, result], tools=[TOOL])
        self.check("foreign", str(number), answer["choices"][0]["message"]["content"], f"seen result {number}")

    async def beside_agent(self, number: int) -> None:
        """Ask one-shot questions while an agent's turn is suspended, then return the agent's result."""
        history = [user(f"tool agent {number}")]
        message = (await self._post(history, tools=[TOOL]))["choices"][0]["message"]
        for ping in range(4):
            answer = await self._post([user(f"ping {number} {ping}")])
            text = answer["choices"][0]["message"]["content"]
            self.check("one-shot", str(number), text, said_to(f"ping {number} {ping}"))
        call_id = message["tool_calls"][0]["id"]
        result: dict[str, Any] = {"role": "tool", "tool_call_id": call_id, "content": f"result {number}"}
        body = {"model": MODEL, "messages": [*history, message, result], "tools": [TOOL]}
        response = (await self.client.post("/chat/completions", json=body)).raise_for_status()
        self.done[f"agents {response.headers['x-codex-proxy-thread'].partition(';')[0]}"] += 1
        text = response.json()["choices"][0]["message"]["content"]
        self.check("agents", str(number), text, f"seen result {number}")

    async def compressed(self, number: int) -> None:
        """Send a compressed question."""
        question, (coding, compress) = f"compressed {number}", COMPRESS[CODINGS[number % len(CODINGS)]]
        body = compress(orjson.dumps({"model": MODEL, "messages": [user(question)]}))
        headers = {"content-encoding": coding, "content-type": "application/json"}
        response = await self.client.post("/chat/completions", content=body, headers=headers)
        text = response.raise_for_status().json()["choices"][0]["message"]["content"]
        self.check("compressed", question, text, said_to(question))

    async def broken(self, number: int) -> None:
        """Read an answer that the upstream cuts: its text is right, and its end reports the error."""
        question = f"break {number}"
        async with self._stream(question) as response:
            stream = await Stream(response).read()
        code = stream.chunks[-1].get("error", {}).get("code")
        self.check("broken", question, (stream.text, code), (said_to(question), "upstream_error"))

    async def bad(self, number: int) -> None:
        """Send an invalid request."""
        response = await self.client.post("/chat/completions", content=b"{" * (number % 7 + 1))
        self.check("bad", str(number), response.status_code, 400)

    async def _post(self, messages: Sequence[Any], **more: Any) -> Any:
        body = {"model": MODEL, "messages": messages, **more}
        return (await self.client.post("/chat/completions", json=body)).raise_for_status().json()

    def _stream(self, question: str) -> Any:
        body = {"model": MODEL, "stream": True, "messages": [user(question)]}
        return self.client.stream("POST", "/chat/completions", json=body)

    def kinds(self) -> tuple[Callable[[int], Awaitable[None]], ...]:
        """Return the actions of clients, weighted by repetition."""
        return (
            self.whole,
            self.streamed,
            self.streamed,
            self.tools,
            self.leaving,
            self.broken,
            self.bad,
            self.compressed,
            self.foreign,
            self.beside_agent,
        )


async def soak(base_url: str, conversations: int, at_once: int, seed: int) -> Soak:
    """Run conversations with limited concurrency, in a random order that the seed determines."""
    chance = random.Random(seed)
    limits = httpx2.Limits(max_connections=at_once)
    async with httpx2.AsyncClient(base_url=base_url, timeout=120, limits=limits) as client:
        run = Soak(client)
        numbers = iter(range(conversations))

        async def client_after_client() -> None:
            for number in numbers:
                await chance.choice(run.kinds())(number)

        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(client_after_client)
    return run


def memory(running: Program) -> tuple[int, int]:
    """Return the resident memory of the server and of its codex, in bytes."""
    server = psutil.Process(running.process.pid)
    return server.memory_info().rss, sum(child.memory_info().rss for child in running.family())


async def main(conversations: int, at_once: int, rounds: int, seed: int) -> None:
    """Run the rounds and print the memory used after each."""
    with tempfile.TemporaryDirectory() as folder:
        async with scripted_upstream() as upstream:
            upstream.respond = respond
            write_home(Path(folder) / "home", upstream.base_url)
            os.environ |= {
                "CODEX_HOME": f"{folder}/home",
                "SCRIPTED_KEY": "made-up",
                "XDG_STATE_HOME": f"{folder}/state",
            }
            async with program("--log-level", "error") as running:
                for number in range(rounds):
                    run = await soak(running.base_url, conversations // rounds, at_once, seed + number)
                    upstream.requests.clear()
                    upstream.played.clear()
                    server, codex = (round(size / MEGABYTE) for size in memory(running))
                    done = ", ".join(f"{kind} {count}" for kind, count in sorted(run.done.items()))
                    print(f"round {number + 1}: {done}; server {server} MB, codex {codex} MB")  # noqa: T201
                    if run.wrong:
                        raise SystemExit("\n".join(run.wrong[:20]))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--conversations", type=int, default=5000)
    arguments.add_argument("--at-once", type=int, default=20)
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=1)
    anyio.run(lambda: main(**vars(arguments.parse_args())))
