from __future__ import annotations

import json
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.json_values import DEEPEST, LONGEST, ValueCounter, check_size, decode_json, memory_of

ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, true, null, "b"]}', {"a": [1, 2.5, True, None, "b"]}),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"cut \\ud83d"', "cut \N{REPLACEMENT CHARACTER}"),
        (b'"\\ude00 cut"', "\N{REPLACEMENT CHARACTER} cut"),
        (b'"\\ude00\\ud83d"', "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b'"\\ud83d and \\ud83d\\ude00"', "\N{REPLACEMENT CHARACTER} and \N{GRINNING FACE}"),
        (b'{"\\ud83d": {"b": ["\\ud83d"]}}', {"\N{REPLACEMENT CHARACTER}": {"b": ["\N{REPLACEMENT CHARACTER}"]}}),
        (b'"quoted \\" and \\\\ beside \\ud83d"', 'quoted " and \\ beside \N{REPLACEMENT CHARACTER}'),
    ],
    ids=["plain", "pair", "first half", "second half", "wrong order", "half and pair", "deep and in keys", "escapes"],
)
def test_a_body_is_decoded_and_unpaired_surrogates_are_replaced(body: bytes, value: Any) -> None:
    assert decode_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b'{"a": 1} {"b": 2}',
        b'{"a": NaN}',
        b'["\\ud83d", NaN]',
        b'["\\ud83d", Infinity]',
        b'["\\ud83d", -Infinity]',
        b'["\\ud83d", 1e999]',
        b'"\xff"',
        b"[" * 100_000,
        b'"\\ud83d"' + b"[" * 100_000,
        b"1" * 10_000 + b"x",
    ],
    ids=[
        "empty",
        "cut",
        "no JSON",
        "two values",
        "NaN",
        "NaN beside a half pair",
        "Infinity",
        "minus Infinity",
        "too large a number",
        "no UTF-8",
        "too deep",
        "too deep beside a half pair",
        "too many digits",
    ],
)
def test_invalid_json_is_a_400(body: bytes) -> None:
    with pytest.raises(ApiError, match=r"^The request body is not valid JSON: .+\.$") as caught:
        decode_json(body)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", None, "invalid_json")


@settings(deadline=None)
@given(ANY_JSON, st.booleans())
def test_any_json_round_trips(value: Any, ascii_only: bool) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(deadline=None)
@given(st.lists(st.sampled_from(['"', "\\", "a", "ü", "\N{GRINNING FACE}", "\n", "\ud800", "\udbff"])))
def test_only_unpaired_surrogates_are_replaced(pieces: list[str]) -> None:
    text = "".join(pieces)
    expected = text.replace("\ud800", "\N{REPLACEMENT CHARACTER}").replace("\udbff", "\N{REPLACEMENT CHARACTER}")
    assert decode_json(json.dumps({text: text}).encode()) == {expected: expected}


@settings(deadline=None)
@given(
    st.binary(max_size=30)
    | st.text(alphabet='{}[]",:\\ud8e0 1.truefalsn', max_size=30).map(str.encode)
    | st.text(st.characters(), max_size=10).map(lambda text: json.dumps(text).encode())
)
def test_random_bytes_give_an_encodable_value_or_a_400(body: bytes) -> None:
    try:
        orjson.dumps(decode_json(body))
        return
    except ApiError as refused:
        error = refused
    assert error.status == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "too_deep"),
        (b'{"x":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), "too_deep"),
        (b'{"x": [' + b"1," * LONGEST + b"1]}", "too_many_values"),
    ],
    ids=["arrays", "objects", "values"],
)
def test_a_body_that_is_too_deep_or_too_long_is_a_400(body: bytes, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_size(decode_json(body))
    assert (caught.value.status, caught.value.code) == (400, code)


def test_a_body_at_the_bounds_is_accepted() -> None:
    check_size(decode_json(b"[" * DEEPEST + b"]" * DEEPEST))
    check_size(decode_json(b"[" + b"1," * (LONGEST - 1) + b"1]"))


def members(value: Any) -> int:
    """Return the number of members of all arrays and objects, an empty one counting as one."""
    if not isinstance(value, dict | list):
        return 0
    inner = list(cast("dict[str, Any]", value).values()) if isinstance(value, dict) else cast("list[Any]", value)
    return max(1, len(inner)) + sum(members(one) for one in inner)


@given(ANY_JSON, st.integers(1, 9), st.booleans())
@settings(deadline=None)
def test_values_are_counted_wherever_the_text_is_cut(value: Any, size: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    counter = ValueCounter()
    for start in range(0, len(text), size):
        counter.feed(text[start : start + size])
    assert counter.count == members(value)


MEMORY: list[tuple[Any, Any]] = [
    (["a"], ["a" * 100]),
    ([{}], [{"a": "b"}]),
    ([["a"]], [["a", "b"]]),
    ([{"a": ["b"]}], [{"a": ["b", {"c": "d"}]}]),
]


@pytest.mark.parametrize(("small", "large"), MEMORY)
def test_the_memory_of_values_includes_everything_inside(small: Any, large: Any) -> None:
    assert memory_of([]) < memory_of(small) < memory_of(large)
    assert memory_of([*small, *large]) > memory_of(small) + memory_of(large) - 2 * memory_of([])
