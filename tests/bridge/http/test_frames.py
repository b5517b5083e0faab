from __future__ import annotations

import orjson
import pytest

from bridge.errors import ApiError, invalid_request, too_many_requests
from bridge.http.answer import response_start, send_error
from bridge.http.frames import FrameExchange, frame_of


async def frames_of(error: ApiError | None, *parts: bytes) -> tuple[int, list[bytes]]:
    """Return the status and the frames of a response with an error, or with these parts of a body."""
    frames: list[bytes] = []

    async def send(frame: bytes) -> None:
        frames.append(frame)

    exchange = FrameExchange(send, None)
    assert (await exchange.receive())["type"] == "http.request"
    if error is not None:
        await send_error(error, exchange.send)
    else:
        await exchange.send(response_start(200, {}))
        for part in parts:
            await exchange.send({"type": "http.response.body", "body": part, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b""})
    assert await exchange.receive() == {"type": "http.disconnect"}
    return exchange.status, frames


async def test_each_line_of_a_body_is_a_frame() -> None:
    assert await frames_of(None, b"", b"1\n2\n", b"3\n") == (200, [b"1", b"2", b"3"])


@pytest.mark.parametrize("stream_id", [None, "a"])
@pytest.mark.parametrize(
    ("code", "shown"), [("unsupported_value", "unsupported_value"), (None, "invalid_request_error")]
)
async def test_an_error_is_nested_and_always_has_a_code(code: str | None, shown: str, stream_id: str | None) -> None:
    error = invalid_request("No.", "input", code)
    expected = {
        "type": "error",
        "status": 400,
        "error": {"message": "No.", "type": "invalid_request_error", "param": "input", "code": shown},
        "headers": {},
    }
    assert await frames_of(error) == (400, [orjson.dumps(expected)])
    lane = {} if stream_id is None else {"stream_id": stream_id}
    assert orjson.loads(frame_of(error, stream_id)) == {**expected, **lane}


async def test_an_error_repeats_the_headers_that_say_when_to_try_again() -> None:
    error = too_many_requests(1, 7)
    error.headers |= {"x-codex-primary-used-percent": "99", "x-frame-options": "DENY"}
    _, [frame] = await frames_of(error)
    assert orjson.loads(frame)["headers"] == {"retry-after": "7", "x-codex-primary-used-percent": "99"}
