"""Records the cases in `fixtures/` again, from the real codex CLI and a scripted upstream, with fixed ids and times.

`make fixtures` runs it; ARGS may name the cases to record. To add a case, write a function below.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import shutil
import struct
import tempfile
import uuid
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from msgspec.structs import replace

from bridge.asgi import service
from bridge.codex.launch import Launcher
from bridge.config import AgentSettings, ReasoningDisplay, Settings
from bridge.recordings.backend_mode import BackendMode
from bridge.recordings.case_folders import load_cases, save_case
from bridge.recordings.exchanges import IdsAndClock
from bridge.recordings.recorder import Recorder
from bridge.recordings.redaction import Redactor
from tests.harness.agent_case import shortened, write_folder
from tests.harness.agents import AUTHORIZED, DIRECT, KEY, Said, runs
from tests.harness.asgi import asgi_client
from tests.harness.codex_home import write_home
from tests.harness.proxy import MODEL, user
from tests.harness.script import Call, Cut, Hold, Text, Thought, Usage, begun, failed, reply
from tests.harness.upstream import Upstream, scripted_upstream

FIXTURES = Path(__file__).parent.parent / "fixtures"
CREATED = 1_767_225_600
"""The time of every recorded answer, in epoch seconds: 2026-01-01."""
BETWEEN_LINES = 0.02
"""Recorded seconds between two lines, independent of the clock."""
CURSOR = {"user-agent": "Cursor/1.0"}


@dataclass(frozen=True, slots=True)
class Scene:
    """The upstream and client of a case."""

    upstream: Upstream
    client: httpx2.AsyncClient

    async def ask(self, messages: list[dict[str, Any]], **fields: Any) -> None:
        """Send a streamed request and add the answer to the messages, as a client would."""
        body = {"model": MODEL, "stream": True, "messages": messages, **fields}
        response = await self.client.post("/chat/completions", json=body)
        if response.status_code == 200:
            messages.append(assistant(response.text))

    async def post(
        self, body: dict[str, Any], path: str = "/chat/completions", headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """Send a request and return the response."""
        return await self.client.post(path, json=body, headers=headers)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a case is recorded."""

    play: Callable[[Scene], Awaitable[None]]
    reasoning: ReasoningDisplay = "off"
    agent: str | None = None
    """The name of the agent that the scene asks."""


RECIPES: dict[str, Recipe] = {}


def case(
    name: str, reasoning: ReasoningDisplay = "off", agent: str | None = None
) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[Scene], Awaitable[None]]]:
    """Register the decorated function as the recipe of the case `name`."""

    def register(play: Callable[[Scene], Awaitable[None]]) -> Callable[[Scene], Awaitable[None]]:
        RECIPES[name] = Recipe(play, reasoning, agent)
        return play

    return register


def assistant(stream: str) -> dict[str, Any]:
    """Assemble the assistant message of a streamed answer."""
    content, calls = "", list[dict[str, Any]]()
    for line in stream.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
                content += choice["delta"].get("content") or ""
                calls += choice["delta"].get("tool_calls") or ()
    calls = [{name: call[name] for name in ("id", "type", call["type"])} for call in calls]
    message: dict[str, Any] = {"role": "assistant", "content": content or None}
    return {**message, "tool_calls": calls} if calls else message


def words(text: str) -> Text:
    """Return a message that is streamed word by word."""
    *beginning, last = text.split(" ")
    return Text((*(word + " " for word in beginning), last))


def function(name: str, description: str, **properties: str) -> dict[str, Any]:
    """Return a function tool whose arguments are strings, each with a description."""
    parameters = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def output(call_id: str, content: str) -> dict[str, Any]:
    """Return a tool message."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


WEATHER = function("get_weather", "Tells the weather of a city.", city="The name of the city.")


# ── The cases ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@case("plain-text")
async def plain_text(scene: Scene) -> None:
    scene.upstream.will_reply(
        reply(words("Hi! I am a recording. What can I do for you?"), usage=Usage(9, 0, 12, 0)),
        reply(words("You are welcome."), usage=Usage(26, 0, 4, 0)),
    )
    messages = [user("Say hi.")]
    await scene.ask(messages)
    await scene.ask([*messages, user("Thanks.")])


@case("long-text")
async def long_text(scene: Scene) -> None:
    lines = (f"{bottles} bottles of water stand on the wall; take one down." for bottles in range(30, 0, -1))
    scene.upstream.will_reply(reply(words(" ".join(lines)), usage=Usage(12, 0, 330, 0)))
    await scene.ask([user("Sing me a long song.")])


@case("reasoning", reasoning="reasoning_content")
async def reasoning(scene: Scene) -> None:
    thought = Thought("The smaller even numbers are no primes, but two is.", "made-up-ciphertext")
    scene.upstream.will_reply(reply(thought, words("Yes: two is the only even prime."), usage=Usage(14, 0, 40, 31)))
    await scene.ask([user("Is there an even prime?")], reasoning_effort="high")


@case("one-tool")
async def one_tool(scene: Scene) -> None:
    scene.upstream.will_reply(
        reply(
            Thought("", "made-up"), Call("get_weather", '{"city": "Paris"}', "call_paris"), usage=Usage(60, 0, 18, 8)
        ),
        reply(words("In Paris it is 20 degrees and sunny."), usage=Usage(95, 60, 10, 0)),
    )
    messages = [user("What is the weather in Paris?")]
    await scene.ask(messages, tools=[WEATHER])
    await scene.ask([*messages, output("call_paris", "20 degrees, sunny")], tools=[WEATHER])


@case("parallel-tools")
async def parallel_tools(scene: Scene) -> None:
    cities = ("Paris", "Rome", "Oslo")
    calls = (Call("get_weather", json.dumps({"city": city}), f"call_{city.lower()}") for city in cities)
    scene.upstream.will_reply(
        reply(words("I will look all of them up."), *calls, usage=Usage(64, 0, 58, 0)),
        reply(words("Paris 20, Rome 27, Oslo 9 degrees: Rome is the warmest."), usage=Usage(160, 64, 16, 0)),
    )
    messages = [user("Where is it warmest: Paris, Rome or Oslo?")]
    await scene.ask(messages, tools=[WEATHER])
    outputs = [output("call_rome", "27"), output("call_paris", "20"), output("call_oslo", "9")]
    await scene.ask([*messages, *outputs], tools=[WEATHER])


@case("custom-tool")
async def custom_tool(scene: Scene) -> None:
    patch = "*** Begin Patch\n*** Add File: hello.txt\n+hello\n*** End Patch"
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /(.|\\n)+/"}
    tool = {"type": "custom", "name": "ApplyPatch", "description": "Applies a patch.", "format": grammar}
    scene.upstream.will_reply(
        reply(Call("ApplyPatch", json.dumps({"input": patch}), "call_patch"), usage=Usage(110, 0, 40, 0)),
        reply(words("hello.txt is there."), usage=Usage(170, 110, 5, 0)),
    )
    messages = [user("Make a file hello.txt that says hello.")]
    await scene.ask(messages, tools=[tool])
    await scene.ask([*messages, output("call_patch", "Done.")], tools=[tool])


@case("image")
async def image(scene: Scene) -> None:
    scene.upstream.will_reply(reply(words("One red pixel."), usage=Usage(90, 0, 4, 0)))
    parts = [{"type": "text", "text": "What is in this picture?"}, {"type": "image_url", "image_url": {"url": red()}}]
    await scene.ask([user(parts)])


@case("json-schema")
async def json_schema(scene: Scene) -> None:
    properties = {"name": {"type": "string"}, "inhabitants": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    named = {"name": "city", "strict": True, "schema": schema}
    scene.upstream.will_reply(
        reply(Text(('{"name":', '"Paris",', '"inhabitants":', "2100000}")), usage=Usage(40, 0, 16, 0))
    )
    body = {"model": MODEL, "messages": [user("Describe Paris.")]}
    await scene.post({**body, "response_format": {"type": "json_schema", "json_schema": named}})


@case("stop")
async def stop(scene: Scene) -> None:
    scene.upstream.will_reply(begun(words("one two three four ")).then(Hold(anyio.Event())))
    await scene.ask([user("Count, but stop before four.")], stop=["four"])


@case("quota-error")
async def quota_error(scene: Scene) -> None:
    scene.upstream.will_reply(failed("insufficient_quota", "The quota is used up."))
    await scene.ask([user("Is there any quota left?")])


@case("resumed-stream")
async def resumed_stream(scene: Scene) -> None:
    scene.upstream.will_reply(
        begun(words("The stream is cut and the rest never comes.")).then(Cut()),
        reply(words("The stream is cut and the rest never comes."), words("But it did!"), usage=Usage(16, 0, 14, 0)),
    )
    await scene.ask([user("What happens when a stream is cut?")])


@case("cursor-verify")
async def cursor_verify(scene: Scene) -> None:
    scene.upstream.will_reply(reply("Hi!", usage=Usage(14, 0, 2, 0)))
    said = user("Testing. Just say hi and nothing else.")
    await scene.post({"model": "gpt-4o", "messages": [said], "temperature": 0}, headers=CURSOR)


@case("cursor-agent-loop")
async def cursor_agent_loop(scene: Scene) -> None:
    read = {"type": "function", "name": "read_file", "description": "Reads a file.", "strict": False}
    read["parameters"] = WEATHER["function"]["parameters"] | {
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
    }
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /(.|\\n)+/"}
    tools = [read, {"type": "custom", "name": "ApplyPatch", "description": "Applies a patch.", "format": grammar}]
    patch = "*** Begin Patch\n*** Update File: sum.py\n-return a - b\n+return a + b\n*** End Patch"
    scene.upstream.will_reply(
        reply(
            words("I read it first."), Call("read_file", '{"path": "sum.py"}', "call_read"), usage=Usage(300, 0, 20, 0)
        ),
        reply(Call("ApplyPatch", json.dumps({"input": patch}), "call_patch"), usage=Usage(360, 300, 45, 0)),
        reply(words("The sign was wrong; now it adds."), usage=Usage(430, 360, 9, 0)),
    )
    asked: list[dict[str, Any]] = [
        {"role": "system", "content": "You are an agent in an editor."},
        {"role": "user", "content": [{"type": "input_text", "text": "Fix sum.py."}]},
    ]
    body = {"model": "xedoc-2.5-tpg-high", "stream": True, "tools": tools, "store": False}
    results = {"call_read": "def add(a, b):\n    return a - b", "call_patch": "Applied."}
    while True:
        answer = assistant((await scene.post({**body, "input": asked}, headers=CURSOR)).text)
        if "tool_calls" not in answer:
            return
        if answer["content"]:
            asked.append({"role": "assistant", "content": [{"type": "output_text", "text": answer["content"]}]})
        for call in answer["tool_calls"]:
            asked.append({"type": "function_call", "call_id": call["id"], **call["function"]})
            asked.append({"type": "function_call_output", "call_id": call["id"], "output": results[call["id"]]})


@case("responses-chain")
async def responses_chain(scene: Scene) -> None:
    scene.upstream.will_reply(
        reply(
            Thought("A city on the Seine.", "made-up-ciphertext"),
            words("Paris is in France."),
            usage=Usage(14, 0, 20, 9),
        ),
        reply(words("About two million people live there."), usage=Usage(38, 14, 8, 0)),
    )
    body = {"model": "gpt-5.2-codex", "reasoning": {"summary": "auto"}}
    first = await scene.post({**body, "stream": True, "input": "Where is Paris?"}, "/responses")
    key = first.text.partition('"id":"resp_')[2].partition('"')[0]
    following = {"input": "How many people live there?", "previous_response_id": f"resp_{key}"}
    await scene.post({**body, **following}, "/responses")


LOOK = Said("I look at the list of guests first.", "commentary")


@case("agent-chat", agent="demo")
async def agent_chat(scene: Scene) -> None:
    scene.upstream.will_reply(
        runs(DIRECT, "cat guests.txt", before=[LOOK], usage=Usage(2100, 0, 40, 0)),
        reply(Said("Ben and Dan have not answered yet.", "final_answer"), usage=Usage(2200, 2100, 12, 0)),
    )
    await scene.ask([user("Who has not answered yet?")], model="codex-agent-demo")


@case("agent-responses", agent="demo")
async def agent_responses(scene: Scene) -> None:
    plan = [{"step": "Add Eve", "status": "in_progress"}, {"step": "Count the answers", "status": "pending"}]
    lines = ("*** Begin Patch", "*** Update File: guests.txt", "@@", " Dan: no answer yet", "+Eve: no answer yet")
    patch = "\n".join(("apply_patch <<'EOF'", *lines, "*** End Patch", "EOF"))
    done = "Eve is on the list. Two of the five guests have answered."
    scene.upstream.will_reply(
        runs(DIRECT, "ls; cat guests.txt", before=[LOOK], usage=Usage(2000, 0, 40, 0)),
        reply(Call("update_plan", json.dumps({"plan": plan}), "call_plan"), usage=Usage(2100, 2000, 30, 0)),
        runs(DIRECT, patch, usage=Usage(2200, 2100, 60, 0)),
        runs(DIRECT, "grep -c yes guests.txt", usage=Usage(2300, 2200, 20, 0)),
        reply(Said(done, "final_answer"), usage=Usage(2400, 2300, 15, 0)),
    )
    body = {"model": "codex-agent-demo", "stream": True, "input": "Invite Eve, and count who has answered."}
    await scene.post(body, "/responses")


def red() -> str:
    """Return a PNG of one red pixel as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


# ── Recording ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def record(name: str, recipe: Recipe, folder: Path) -> None:
    """Record one case into `folder`; ids, times and pauses are the same in each run."""
    numbers, ticks = itertools.count(1), itertools.count()
    ids_and_clock = IdsAndClock(
        unique=lambda: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{next(numbers)}")),
        now=lambda: CREATED,
    )
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        recorder = Recorder(made, ids_and_clock, Redactor(), lambda: next(ticks) * BETWEEN_LINES, recipe.reasoning)
        async with scripted_upstream() as upstream:
            write_home(Path(scratch) / "home", upstream.base_url, stream_retries=2)
            os.environ["CODEX_HOME"] = f"{scratch}/home"
            os.environ["XDG_STATE_HOME"] = f"{scratch}/state"
            codex = os.environ.get("CODEX_UNDER_TEST")
            launch = Launcher(codex, recorder.tap)
            mode = BackendMode(
                launch.open_client, str(launch.cwd), recorder, join_deltas=False, tap_agents=recorder.tap
            )
            settings = Settings(codex=codex, reasoning=recipe.reasoning)
            if recipe.agent is not None:
                recorder.of_agents = True
                site = write_folder(Path(scratch) / "party")
                agent = AgentSettings(recipe.agent, str(site), write=True, model=DIRECT)
                settings = replace(settings, agents=(agent,), api_key=KEY)
            async with service(settings, mode) as it, asgi_client(it.app) as client:
                client.headers.update(AUTHORIZED)
                await recipe.play(Scene(upstream, client))
        [recorded] = load_cases(made)
        if recipe.agent is not None:
            recorded = shortened(recorded, Path(scratch).resolve() / "party", BETWEEN_LINES)
    shutil.rmtree(folder / name, ignore_errors=True)
    save_case(replace(recorded, name=name), folder / name)


async def main(names: list[str], folder: Path) -> None:
    """Record the named cases, or all."""
    os.environ["SCRIPTED_KEY"] = "made-up"
    for name in names or RECIPES:
        await record(name, RECIPES[name], folder)
        print(name)  # noqa: T201 - a program for people


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", choices=[*RECIPES, []], metavar="CASE")
    anyio.run(main, arguments.parse_args().names, FIXTURES)
