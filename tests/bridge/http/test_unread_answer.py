"""An answer that its client does not read is given up after a while."""

from __future__ import annotations

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from bridge.http.answer import response_start
from bridge.http.middleware import Envelope
from bridge.http.unread_answer import PART
from bridge.telemetry.ledger import Ledger
from tests.bridge.http.exchange import Exchange, http_scope


class Streaming:
    """An application that sends the given parts; `ended` is set when it has ended, also by being cancelled."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.ended = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            await send(response_start(200, {}))
            for number, part in enumerate(self._parts, 1):
                more = number < len(self._parts)
                await send({"type": "http.response.body", "body": part, "more_body": more})
        finally:
            self.ended.set()


async def test_an_answer_that_is_not_read_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    app, ledger, exchange = Streaming(b"one", b"two"), Ledger(), Exchange()
    exchange.stop_reading()
    with anyio.fail_after(5):
        await Envelope(app, ledger, patience=0.01)(http_scope("/models"), exchange.receive, exchange.send)
    assert app.ended.is_set()
    assert len(ledger.running) == 0
    assert "the client took nothing for 0.01 seconds" in caplog.text


async def test_an_answer_whose_client_reads_on_is_not_cancelled() -> None:
    app, exchange = Streaming(b"one", b"two", b"three"), Exchange()
    exchange.stop_reading()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                Envelope(app, Ledger(), patience=60), http_scope("/models"), exchange.receive, exchange.send
            )
            await exchange.until_something_is_held_up()
            exchange.read_on()
    assert (exchange.body, exchange.complete) == (b"onetwothree", True)


async def test_silence_of_the_application_is_not_that_of_the_client() -> None:
    exchange, quiet = Exchange(), anyio.Event()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await send(response_start(200, {}))
        with anyio.move_on_after(0.05):  # several times the patience
            await quiet.wait()
        await send({"type": "http.response.body", "body": b"late"})

    with anyio.fail_after(5):
        await Envelope(silent, Ledger(), patience=0.01)(http_scope("/models"), exchange.receive, exchange.send)
    assert exchange.body == b"late"


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 3 * PART])
async def test_a_large_part_is_sent_in_pieces_so_that_a_slow_client_makes_progress(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    app, exchange = Streaming(data, data), Exchange()
    await Envelope(app, Ledger(), patience=60)(http_scope("/models"), exchange.receive, exchange.send)
    assert (exchange.body, exchange.complete) == (data + data, True)
    assert exchange.parts == 2 * max(1, -(-size // PART))
