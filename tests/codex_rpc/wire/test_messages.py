"""Lines are read as messages and messages written as lines; nothing is written that codex could not parse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_rpc.errors import ProtocolError, UnsendableError
from codex_rpc.wire.messages import (
    MALFORMED,
    MAX_DEPTH,
    ErrorResponse,
    Message,
    Notification,
    Request,
    Response,
    decode,
    encode,
)

MESSAGES: list[tuple[bytes, Message]] = [
    (b'{"id":1,"method":"model/list","params":{"limit":7}}', Request(1, "model/list", {"limit": 7})),
    (b'{"id":"a","method":"currentTime/read","params":null}', Request("a", "currentTime/read", None)),
    (b'{"method":"initialized"}', Notification("initialized", None)),
    (b'{"method":"warning","params":{"text":"\xc3\xa9\xe2\x82\xac"}}', Notification("warning", {"text": "é€"})),
    (b'{"id":2,"result":null}', Response(2, None)),
    (b'{"id":2,"result":{"thread":{"id":"t"}}}', Response(2, {"thread": {"id": "t"}})),
    (b'{"id":3,"error":{"code":-32600,"message":"no","data":null}}', ErrorResponse(3, -32600, "no")),
    (b'{"id":3,"error":{"code":-32600,"message":"no","data":[1]}}', ErrorResponse(3, -32600, "no", [1])),
]

integers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ids = integers | st.text()
messages = st.one_of(
    st.builds(Request, ids, st.text(), json_values),
    st.builds(Notification, st.text(), json_values),
    st.builds(Response, ids, json_values),
    st.builds(ErrorResponse, ids, integers, st.text(), json_values),
)
almost_messages = st.dictionaries(
    st.sampled_from(["id", "method", "params", "result", "error"]),
    json_values | st.fixed_dictionaries({}, optional={"code": json_values, "message": json_values}),
)
anything = st.recursive(
    json_values
    | st.integers()
    | st.floats()
    | st.binary()
    | st.sampled_from(["\ud800", "a\udfffb", object(), {"\ud800": 1}, {1: 2}, {None: ()}, {1, 2}, 1j, ...]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def nested_lists(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def nested_objects(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": 1, "b": value}
    return value


@pytest.mark.parametrize(("line", "message"), MESSAGES)
def test_a_line_is_read_as_its_message(line: bytes, message: Message):
    assert decode(line) == message


@pytest.mark.parametrize(("line", "message"), MESSAGES)
def test_a_message_is_written_as_its_line(line: bytes, message: Message):
    assert encode(message) == line + b"\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b' { "method" : "warning" } \r', Notification("warning", None)),
        (b'{"id":1,"method":"m"}', Request(1, "m", None)),
        (b'{"id":1,"method":"m","params":[],"trace":{"traceparent":null},"jsonrpc":"2.0"}', Request(1, "m", [])),
        (b'{"id":1,"error":{"code":1,"message":"no"}}', ErrorResponse(1, 1, "no", None)),
        (b'{"id":1,"result":null,"error":{"code":1,"message":"no"}}', ErrorResponse(1, 1, "no", None)),
    ],
)
def test_optional_and_unknown_fields_of_a_line_do_not_matter(line: bytes, message: Message):
    assert decode(line) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"1",
        b'"method"',
        b"[]",
        b"{}",
        b'{"id":null,"result":1}',
        b'{"id":1.5,"result":1}',
        b'{"id":[],"result":1}',
        b'{"method":1}',
        b'{"method":"m"',
        b'{"method":"m"}{"method":"m"}',
        b'{"method":"\xff"}',
        b'{"method":"\\ud800"}',
        b"thread 'main' panicked at src/main.rs:1:1",
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_a_line_that_is_not_a_message_is_a_protocol_error(line: bytes):
    with pytest.raises(ProtocolError):
        decode(line)


@given(messages)
@settings(deadline=None, max_examples=50)
def test_a_message_survives_being_written_and_read(message: Message):
    line = encode(message)

    assert line.index(b"\n") == len(line) - 1
    assert decode(line) == message


@given(st.binary() | almost_messages.map(lambda wire: json.dumps(wire).encode()))
@settings(deadline=None)
def test_random_lines_give_a_message_or_a_protocol_error(line: bytes):
    try:
        message = decode(line)
    except ProtocolError:
        return
    assert decode(encode(message)) == message


@given(anything)
@settings(deadline=None)
def test_random_values_are_written_as_one_line_of_json_or_are_unsendable(params: Any):
    try:
        line = encode(Request(1, "m", params))
    except UnsendableError:
        return
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line).keys() == {"id", "method", "params"}


@pytest.mark.parametrize(
    "params",
    [
        {"text": "\ud800"},
        {"text": ["fine", "not \udc00 fine"]},
        {"\ud800": "a key"},
        {"number": 2**64},
        {"bytes": b"raw"},
        {1: "a key that is no text"},
        nested_lists(200),
        nested_objects(200),
        nested_lists(100_000),
    ],
)
def test_a_value_that_codex_could_not_parse_is_unsendable(params: Any):
    with pytest.raises(UnsendableError):
        encode(Request(1, "m", params))


@pytest.mark.parametrize("nested", [nested_lists, nested_objects])
def test_the_whole_line_may_be_nested_as_deep_as_the_limit_and_no_deeper(nested: Any):
    envelope = 1
    deepest = nested(MAX_DEPTH - envelope)

    assert decode(encode(Response(1, deepest))) == Response(1, deepest)
    with pytest.raises(UnsendableError, match="nested"):
        encode(Response(1, nested(MAX_DEPTH - envelope + 1)))


def test_a_value_that_contains_itself_is_unsendable():
    ring: list[Any] = []
    ring.append(ring)

    with pytest.raises(UnsendableError):
        encode(Notification("m", ring))


def test_a_wide_value_is_not_a_deep_one():
    wide = {str(number): [number] for number in range(2 * MAX_DEPTH)}

    assert decode(encode(Response(1, wide))) == Response(1, wide)


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":1}',
        b'{"id":1,"error":"no"}',
        b'{"id":1,"error":{"code":"1","message":"no"}}',
        b'{"id":1,"error":{"code":1}}',
    ],
)
def test_an_answer_that_cannot_be_read_is_a_failure_of_its_call(line: bytes):
    assert decode(line) == ErrorResponse(1, MALFORMED, "the answer is neither a result nor an error")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400])
def test_a_request_with_a_number_of_any_size_is_still_a_request(number: str) -> None:
    line = b'{"id":0,"method":"item/tool/call","params":{"arguments":{"n":%b}}}' % number.encode()
    message = decode(line)
    assert isinstance(message, Request)
    assert (message.id, message.method) == (0, "item/tool/call")
