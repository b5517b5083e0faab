"""Images reach the model whole, in the client's detail where codex can send it."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pytest

from tests.harness.proxy import BOTH_KINDS, LITE, Proxy, user
from tests.harness.script import Call, reply


def png(width: int, height: int) -> str:
    """Return a black image as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((3 * width + 1) * height)))
    whole = b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(whole).decode()


SMALL, LARGE = png(8, 8), png(3000, 2000)


def seen(bridge: Proxy) -> list[dict[str, Any]]:
    """Return the images that the model sees."""
    items = bridge.upstream.conversation()
    parts = [part for item in items for part in item.get("content") or item.get("output") or ()]
    return [part for part in parts if part["type"] == "input_image"]


@BOTH_KINDS
@pytest.mark.parametrize(
    ("detail", "sent", "ignored"),
    [
        (None, "original", None),
        ("low", "high", "messages[].content[].image_url.detail"),
        ("auto", "auto", None),
        ("high", "high", None),
        ("original", "original", None),
    ],
)
async def test_an_image_reaches_the_model_in_the_clients_detail_or_its_loss_is_named(
    bridge: Proxy, asked_model: str, detail: str | None, sent: str, ignored: str | None
) -> None:
    image = {"type": "image_url", "image_url": {"url": SMALL, "detail": detail}}
    answer = await bridge.chat(user([image]))
    assert answer.headers.get("x-codex-proxy-ignored") == ignored
    # Codex sends no detail to the lite models, and no `original` to the direct ones of the first version.
    shown = {} if asked_model == LITE else {"detail": {"original": "high"}.get(sent, sent)}
    assert seen(bridge) == [{"type": "input_image", "image_url": SMALL, **shown}]


@BOTH_KINDS
@pytest.mark.parametrize("detail", [None, "original"])
async def test_a_large_image_reaches_the_model_unchanged(bridge: Proxy, detail: str | None) -> None:
    image = {"type": "input_image", "image_url": LARGE, **({"detail": detail} if detail else {})}
    answer = await bridge.client.post(
        "/responses", json={"model": bridge.model, "input": [{"role": "user", "content": [image]}]}
    )
    assert "x-codex-proxy-ignored" not in answer.headers
    assert [part["image_url"] == LARGE for part in seen(bridge)] == [True]


@BOTH_KINDS
async def test_an_image_in_low_detail_that_a_tool_gives_reaches_the_model(bridge: Proxy) -> None:
    bridge.upstream.will_reply(reply(Call("look")))
    tool: dict[str, Any] = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    body: dict[str, Any] = {"model": bridge.model, "tools": [tool]}
    answer = await bridge.client.post("/responses", json={**body, "input": "Look."})
    image = {"type": "input_image", "image_url": SMALL, "detail": "low"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": [image]}
    follow_up = {**body, "input": [output], "previous_response_id": answer.json()["id"]}
    answer = await bridge.client.post("/responses", json=follow_up)
    assert answer.headers["x-codex-proxy-ignored"] == "input[].output[].detail"
    assert [part["image_url"] for part in seen(bridge)] == [SMALL]
