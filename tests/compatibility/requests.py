"""What a codex sends upstream for each kind of request, and the notifications that it sends to us."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import orjson

from bridge.asgi import IDS_AND_CLOCK, service
from bridge.codex.launch import Launcher
from bridge.config import AgentSettings, Settings
from bridge.recordings.backend_mode import BackendMode
from bridge.recordings.exchanges import Exchanges
from codex_rpc.process.child import Sink
from codex_rpc.process.process import ByteStream
from codex_rpc.wire.framing import LineSplitter
from tests.harness.asgi import asgi_client
from tests.harness.codex_home import Transport, write_home
from tests.harness.script import Call, reply
from tests.harness.upstream import Upstream, scripted_upstream

CHANGES = (
    "prompt_cache_key",
    "client_metadata",
    "previous_response_id",
    "id",
    "internal_chat_message_metadata_passthrough",
)
"""The fields that differ between two equal conversations, at any depth."""

LOOK: dict[str, Any] = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYA"
    "AAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
AGENT = "agent"
"""The kind of request that an agent answers, which is Codex with its own instructions and tools."""

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"instructions": "Be brief.", "input": "How tall?"},
    "effort": {"input": "How tall?", "reasoning": {"effort": "low", "summary": "auto"}},
    "tools": {"input": "Look.", "tools": [LOOK]},
    "custom tool": {"input": "Look.", "tools": [{"type": "custom", "name": "patch", "description": "Patches."}]},
    "namespace": {
        "input": "Look.",
        "tools": [{"type": "namespace", "name": "eyes", "description": "Eyes.", "tools": [LOOK]}],
    },
    "format": {
        "input": "How tall?",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
    },
    "image": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL}]}]},
    "web search": {"input": "Search.", "tools": [{"type": "web_search"}]},
}


@dataclass
class Observed:
    """What one codex did."""

    version: str
    bodies: dict[str, Any] = field(default_factory=dict[str, Any])
    """Kind of request, transport and model → the body, without what changes each time."""
    notifications: set[str] = field(default_factory=set[str])
    features: dict[str, str] = field(default_factory=dict[str, str])
    """Feature → its stage and whether it is on by default."""


async def observe(codex: Path, folder: Path) -> Observed:
    """Send each kind of request on each model that codex lists, over both transports."""
    observed = Observed("")
    for transport in ("http", "websocket"):
        async with scripted_upstream() as upstream:
            await _observe(observed, codex, folder / transport, upstream, transport)
    return observed


async def _observe(observed: Observed, codex: Path, folder: Path, upstream: Upstream, transport: Transport) -> None:
    write_home(folder / "home", upstream.base_url, transport)
    os.environ |= {"CODEX_HOME": f"{folder}/home", "SCRIPTED_KEY": "made-up", "XDG_STATE_HOME": f"{folder}/state"}

    class Tap:
        """Notes the notifications that codex sends."""

        def __init__(self, stream: ByteStream) -> None:
            self._stream = stream
            self._lines = LineSplitter()
            self.send, self.last_words = stream.send, stream.last_words

        async def read(self, sink: Sink) -> None:
            def take(data: bytes) -> None:
                for line in self._lines.feed(data):
                    message = orjson.loads(line)
                    if "id" not in message:
                        observed.notifications.add(message["method"])
                sink(data)

            await self._stream.read(take)

    places = {str(folder): "FOLDER", str(codex.resolve().parent): "CODEX"}

    def note(name: str) -> None:
        sent = {"warm-up": upstream.warm_ups, "request": upstream.requests}
        for what, requests in sent.items():
            for number, request in enumerate(requests, 1):
                observed.bodies[f"{name}, {what} {number}"] = _lasting(request.body, places)

    launch = Launcher(str(codex), Tap)
    start = await launch.prepare()
    observed.version = start.version.removeprefix("codex-cli ")
    printed = await anyio.run_process([str(codex), "features", "list"], env=start.env, cwd=start.cwd)
    rows = (line.split() for line in printed.stdout.decode().splitlines())
    observed.features = {name: " ".join(rest) for name, *rest in rows}
    mode = BackendMode(launch.open_client, str(launch.cwd), Exchanges(IDS_AND_CLOCK), join_deltas=True)
    models = [model["slug"] for model in json.loads(start.models)["models"]]
    agents = tuple(AgentSettings(f"a{number}", str(folder), model=model) for number, model in enumerate(models))
    settings = Settings(codex=str(codex), spares=0, codex_unchecked=True, agents=agents, api_key="made-up")
    async with service(settings, mode) as it, asgi_client(it.app) as client:
        client.headers["authorization"] = "Bearer made-up"
        for model, agent in zip(models, agents, strict=True):
            for kind, request in KINDS.items():
                upstream.requests.clear()
                upstream.warm_ups.clear()
                await client.post("/responses", json={**request, "model": model, "store": False})
                note(f"{kind}, {transport}, {model}")
            upstream.requests.clear()
            upstream.warm_ups.clear()
            await client.post("/responses", json={"model": f"codex-agent-{agent.name}", "input": "How tall?"})
            note(f"{AGENT}, {transport}, {model}")
            upstream.requests.clear()
            upstream.warm_ups.clear()
            upstream.will_reply(reply(Call("look")))
            body: dict[str, Any] = {
                "model": model,
                "tools": [LOOK],
                "store": False,
                "input": [{"role": "user", "content": "Look."}],
            }
            answer = (await client.post("/responses", json=body)).json()
            call = answer["output"][-1]
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "Seen."}
            await client.post("/responses", json={**body, "input": [*body["input"], call, output]})
            note(f"loop, {transport}, {model}")


def _lasting(value: Any, places: Mapping[str, str]) -> Any:
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return {key: _lasting(one, places) for key, one in fields.items() if key not in CHANGES}
        case list():
            return [_lasting(one, places) for one in cast("list[Any]", value)]
        case str():
            for path, name in places.items():
                value = value.replace(path, name)
            return value
        case _:
            return value
