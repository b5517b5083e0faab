from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from starlette.types import Message, Scope

from bridge.asgi import create_app
from bridge.config import Settings
from bridge.keys.file import KeysError
from bridge.recordings.cases import CaseError
from bridge.settings import sources
from tests.bridge.http.exchange import Exchange, http_scope

LIFESPAN: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}}


class Server:
    """The server's side of a lifespan, driven by the test."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.started = anyio.Event()
        self.stop = anyio.Event()
        self._events: Iterator[str] = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive(self) -> Message:
        event = next(self._events)
        if event == "lifespan.shutdown":
            await self.stop.wait()
        return {"type": event}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.started.set()
        if message["type"] == "lifespan.startup.failed":
            raise RuntimeError("as Hypercorn does")


async def test_requests_are_answered_between_the_startup_and_the_shutdown_of_the_lifespan() -> None:
    app, server, exchange = create_app(Settings(replay="fixtures")), Server(), Exchange()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, LIFESPAN, server.receive, server.send)
            await server.started.wait()
            await app(http_scope("/v1/models"), exchange.receive, exchange.send)
            assert exchange.status == 200
            server.stop.set()
    assert [message["type"] for message in server.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(RuntimeError, match="lifespan"):
        await app(http_scope("/v1/models"), exchange.receive, exchange.send)


async def test_a_failed_startup_is_reported_to_the_server_and_its_exception_is_kept(tmp_path: Path) -> None:
    app, server = create_app(Settings(replay=str(tmp_path / "nowhere"))), Server()
    with pytest.raises(RuntimeError, match="as Hypercorn does"):
        await app(LIFESPAN, server.receive, server.send)
    [failed] = server.sent
    assert (failed["type"], "nowhere" in failed["message"]) == ("lifespan.startup.failed", True)
    assert isinstance(app.failure, CaseError)
    assert app.failed.is_set()


async def test_a_start_with_a_bad_file_of_named_keys_fails_and_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('[anna]\nid = "1"\nmodel = "codex"\n')
    file.chmod(0o600)
    app, server = create_app(Settings(replay="fixtures", keys_file=str(file))), Server()
    with pytest.raises(RuntimeError, match="as Hypercorn does"):
        await app(LIFESPAN, server.receive, server.send)
    assert isinstance(app.failure, KeysError)
    assert f"{file}, line 3" in server.sent[0]["message"]


async def test_without_settings_they_are_read_from_environment_and_file_as_serve_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('api_key = "from the file"\nmax_body = 2048\n')
    monkeypatch.setattr(sources, "CONFIG_FILE", file)
    monkeypatch.setenv("CODEX_OPENAI_PROXY_REPLAY", "fixtures")
    monkeypatch.setenv("CODEX_OPENAI_PROXY_MAX_BODY", "1024")
    app, server = create_app(), Server()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, LIFESPAN, server.receive, server.send)
            await server.started.wait()
            for key, status in (("another", 401), ("from the file", 413)):
                exchange = Exchange(b"x" * 1025)
                scope = http_scope("/v1/chat/completions", "POST", {"authorization": f"Bearer {key}"})
                await app(scope, exchange.receive, exchange.send)
                assert exchange.status == status
            server.stop.set()
