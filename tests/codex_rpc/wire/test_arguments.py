"""Which arguments of a tool call codex parses; `tests/integration/test_tools.py` checks the real codex."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_rpc.wire.arguments import MAX_DEPTH, codex_can_parse

READABLE = [
    "{}",
    " {} ",
    "[1]",
    "5",
    '"x"',
    "null",
    "true",
    '{"n":1e400}',
    '{"n":-1e400}',
    '{"n":' + "9" * 5000 + "}",
    '{"a":1,"a":2}',
    '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH,
    '{"a":"\\u0000"}',
    '{"a":"\\ud83d\\ude00"}',
    '{"a":"\u2028"}',
]
UNREADABLE = [
    "",
    "  ",
    "hello",
    '{"q": "unterm',
    '{"n":NaN}',
    '{"n":-Infinity}',
    "{'a':1}",
    '{"a":1}{"b":2}',
    '{"q":"\\ud83d"}',
    '{"q":"\\udc00x"}',
    '{"\\ud83d":1}',
    '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
    "[" * 100_000,
    '{"a":"\t"}',
    '{"a":1,}',
    '{"a":01}',
    '{"a":.5}',
    "\ufeff{}",
]


@pytest.mark.parametrize("arguments", READABLE)
def test_codex_parses_json_of_any_type_and_numbers_of_any_size(arguments: str) -> None:
    assert codex_can_parse(arguments)


@pytest.mark.parametrize("arguments", UNREADABLE)
def test_codex_parses_neither_invalid_json_nor_too_deep_nesting(arguments: str) -> None:
    assert not codex_can_parse(arguments)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=20,
    )
)
def test_codex_parses_all_valid_json(value: object) -> None:
    assert codex_can_parse(json.dumps(value))
