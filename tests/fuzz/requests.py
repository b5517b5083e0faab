"""Strategies for bad requests: every route, with almost valid bodies and garbage."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson
from hypothesis import strategies as st

from tests.harness.compression import COMPRESS
from tests.harness.proxy import MODEL

PATHS = (
    "/v1/chat/completions",
    "//chat/completions",
    "/openai/deployments/gpt-5.2/chat/completions",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/responses/resp_1/input_items",
    "/v1/responses/resp_1/cancel",
    "/v1/models",
    "/v1/models/xedoc-2.5-tpg",
    "/v1/models/%00%0a%ff",
    "/healthz",
    "/readyz",
    "/usage",
    "/metrics",
    "/",
    "/nowhere/../at/all",
)
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "BREW")

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string", "enum": ["a", "b"]}}},
    },
}
CUSTOM: dict[str, Any] = {
    "type": "custom",
    "name": "ApplyPatch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "a"}'}}

BODIES: tuple[dict[str, Any], ...] = (
    {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]},
    {
        "model": MODEL,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        ],
        "tools": [TOOL, CUSTOM],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "stop": ["one", "two"],
        "max_tokens": 7,
        "n": 2,
    },
    {
        "model": "gpt-5.5-high",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
                ],
            }
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "strict": True, "schema": {"type": "object", "properties": {}}},
        },
        "reasoning_effort": "low",
    },
    {
        "model": MODEL,
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "so"}]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "seen"}]},
        ],
        "instructions": "Be brief.",
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        "include": ["reasoning.encrypted_content"],
        "store": False,
    },
)
"""Valid bodies, which the strategies below corrupt."""


def nested(kind: type, depth: int) -> Any:
    """Return a value nested this many levels deep."""
    value: Any = "deep"
    for _ in range(depth):
        value = [value] if kind is list else {"x": value}
    return value


DEEP = "nested beyond all measure"
"""Placeholder for a value that JSON libraries do not write."""

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    2**53,
    2**63,
    "",
    " ",
    "\x00",
    "\n",
    "\u2028",
    "😀" * 50,
    "x" * 10_000,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"type": "object", "$ref": "#"},
    {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
    nested(list, 90),
    nested(dict, 90),
    nested(dict, 127),
    DEEP,
    ["x"] * 300,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Yield the path of every value inside a body."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(cast("dict[str, Any]", value).items())
    elif isinstance(value, list):
        inner = list(enumerate(cast("list[Any]", value)))
    return ([path] if path else []) + [place for key, one in inner for place in places(one, (*path, key))]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Return a valid body with some values replaced, removed, duplicated or renamed."""
    body: Any = copy.deepcopy(draw(st.sampled_from(BODIES)))
    for _ in range(draw(st.integers(1, 3))):
        options = places(body)
        if not options:
            break
        *way, last = draw(st.sampled_from(options))
        holder = body
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(("odd", "any", "gone", "twice"))):
            case "odd":
                holder[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case "any":
                holder[last] = draw(JSON)
            case "gone":
                del holder[last]
            case _ if isinstance(last, int):
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[draw(st.text(max_size=8))] = holder[last]
    return dumped(body)


def dumped(value: Any) -> bytes:
    """Return a value as JSON bytes, or in a Python-like form if the JSON library refuses it."""
    try:
        return orjson.dumps(value).replace(orjson.dumps(DEEP), b"[" * 900 + b"]" * 900)
    except TypeError:
        return repr(value).replace("'", '"').encode("utf-8", "surrogatepass")


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Return a body that is truncated, or has foreign bytes inserted."""
    body = draw(spoilt() | st.sampled_from([dumped(body) for body in BODIES]))
    at = draw(st.integers(0, len(body)))
    foreign = draw(st.sampled_from([b"", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"\\ud800", b"NaN", b"[" * 2000]))
    return body[:at] + foreign + (body[at:] if draw(st.booleans()) else b"")


@dataclass(frozen=True, slots=True)
class BadRequest:
    """One request; `headers` are added to those that the client sends itself."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=x", ""]),
        "user-agent": st.sampled_from(["Cursor/1.0", "", "x" * 1000]),
        "authorization": st.sampled_from(["", "Bearer", "Bearer ", "Basic eDp5", "Bearer \u00ff"]),
        "origin": st.sampled_from(["null", "https://foreign.example", "vscode-file://vscode-app", ""]),
        "host": st.sampled_from(["localhost", "rebound.example", "[::1]:1", ""]),
        "x-request-id": st.sampled_from(["", "mine", "with space", "\u00ff", "x" * 2000]),
        "accept-encoding": st.just("br"),
        "expect": st.just("100-continue"),
        "cf-ray": st.just("7"),
    },
)

_POST = st.builds(
    BadRequest,
    st.just("POST"),
    st.sampled_from([path for path in PATHS if path.endswith(("/completions", "/responses"))]),
    spoilt() | broken() | JSON.map(dumped) | st.binary(max_size=200),
    HEADERS,
)
_ANYWHERE = st.builds(
    BadRequest,
    st.sampled_from(METHODS),
    st.sampled_from(PATHS) | st.text(st.characters(codec="ascii"), max_size=30).map(lambda text: "/" + text),
    spoilt() | st.binary(max_size=200) | st.just(b""),
    HEADERS,
)


@st.composite
def _compressed(draw: st.DrawFn) -> BadRequest:
    """Return a request whose body is compressed, once or several times, and perhaps damaged or named wrongly."""
    bad = draw(_POST)
    codings = draw(st.lists(st.sampled_from(sorted(COMPRESS)), min_size=1, max_size=3))
    body = draw(st.sampled_from([bad.body, bad.body, bytes(1 << 24), b""]))
    for coding in codings:
        body = COMPRESS[coding][1](body)
    match draw(st.sampled_from(("whole", "whole", "cut", "more", "other"))):
        case "cut":
            body = body[: draw(st.integers(0, len(body)))]
        case "more":
            body += draw(st.binary(max_size=20))
        case "other":
            codings.reverse()
        case _:
            pass
    names = [COMPRESS[coding][0] for coding in codings] + draw(st.lists(st.sampled_from(["br", "", "*"]), max_size=1))
    return replace(bad, body=body, headers={**bad.headers, "content-encoding": ", ".join(names)})


BAD_REQUESTS = st.one_of(_POST, _POST, _compressed(), _ANYWHERE)
"""Bad requests; three of four go to routes that read bodies."""

FOREIGN_JSON = st.recursive(
    st.sampled_from(
        [
            r'"\ud83d"',
            r'"\ude00\ud83d"',
            r'"\ud83d\ude00"',
            r'"\u0000"',
            '"\u2028"',
            "1e400",
            "-1e400",
            "1E-400",
            "9" * 400,
            "-0.0",
            "1.0",
            "NaN",
            "Infinity",
            "null",
            "[" * 100 + "]" * 100,
            '{"x":' * 127 + "1" + "}" * 127,
            "[" * 1000 + "]" * 1000,
            '{"a":1,"a":2}',
            '{"":1}',
            "{'a':1}",
            '"unterminated',
            "",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda texts: f"[{','.join(texts)}]")
        | st.lists(st.tuples(st.sampled_from(["a", "b", r"\ud83d", r"\u0061"]), inner), max_size=3).map(
            lambda members: "{" + ",".join(f'"{name}":{text}' for name, text in members) + "}"
        )
    ),
    max_leaves=4,
)
"""Texts that a model or client may put as a call's arguments: JSON of all kinds, and almost JSON."""
