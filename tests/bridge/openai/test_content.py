from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.openai.content import parse_content, parse_output

PNG = "data:image/png;base64,iVBORw0KGgo="
IN, OUT = ({"type": kind, "text": "Hi."} for kind in ("input_text", "output_text"))
EMPTY: dict[str, Any] = {}
IMAGE = {"type": "input_image", "image_url": PNG}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, []),
        ([], []),
        ("", [{"type": "input_text", "text": ""}]),
        ("Hi.", [IN]),
        ([{"type": "text", "text": "Hi."}, {"type": "input_text", "text": "Hi."}, OUT], [IN, IN, IN]),
        ([{"type": "refusal", "refusal": "Hi."}], [IN]),
        ([{"type": "image_url", "image_url": {"url": PNG}}, IN], [IMAGE, IN]),
        ([{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}], [{**IMAGE, "detail": "low"}]),
        ([{"type": "image_url", "image_url": PNG, "detail": None}], [IMAGE]),
        ([{"type": "input_image", "image_url": PNG, "detail": "high"}], [{**IMAGE, "detail": "high"}]),
        ([{"type": "input_image", "image_url": {"url": PNG, "detail": ""}}], [IMAGE]),
    ],
)
def test_content_of_either_dialect_becomes_parts(content: Any, parts: list[Any]) -> None:
    assert parse_content(content, "user", "x") == parts
    assert parse_content(content, "developer", "x") == parts


def test_a_text_of_the_assistant_is_output() -> None:
    assert parse_content("Hi.", "assistant", "x") == [OUT]
    assert parse_content([IN, {"type": "refusal", "refusal": "Hi."}], "assistant", "x") == [OUT, OUT]


@pytest.mark.parametrize(
    ("content", "output"),
    [("Hi.", "Hi."), ("", ""), (None, ""), ([], ""), ([OUT], [IN]), ([IMAGE, IN], [IMAGE, IN])],
)
def test_an_output_is_a_text_or_parts(content: Any, output: Any) -> None:
    assert parse_output(content, "x") == output


@pytest.mark.parametrize(
    ("content", "role", "param", "code"),
    [
        (5, "user", "x", "invalid_type"),
        ({"type": "text", "text": "Hi."}, "user", "x", "invalid_type"),
        ([IN, "Hi."], "user", "x[1]", "invalid_type"),
        ([IN, EMPTY], "user", "x[1].type", "missing_parameter"),
        ([{"type": 5}], "user", "x[0].type", "invalid_type"),
        ([{"type": "video"}], "user", "x[0].type", "invalid_value"),
        ([{"type": "text"}], "user", "x[0].text", "missing_parameter"),
        ([{"type": "text", "text": None}], "user", "x[0].text", "invalid_type"),
        ([{"type": "refusal", "text": "No."}], "user", "x[0].refusal", "missing_parameter"),
        ([IMAGE], "assistant", "x[0]", "invalid_value"),
        ([{"type": "image_url", "image_url": PNG}], "assistant", "x[0]", "invalid_value"),
        ([{"type": "input_image"}], "user", "x[0].image_url", "invalid_type"),
        ([{"type": "input_image", "image_url": EMPTY}], "user", "x[0].image_url.url", "missing_parameter"),
        ([{"type": "input_image", "image_url": "a.png"}], "user", "x[0].image_url", "invalid_image_url"),
        ([{**IMAGE, "detail": 1}], "user", "x[0].detail", "invalid_type"),
        ([{"type": "file"}], "user", "x[0]", "unsupported_content"),
        ([{"type": "input_file"}], "user", "x[0]", "unsupported_content"),
        ([{"type": "input_audio"}], "user", "x[0]", "unsupported_content"),
    ],
)
def test_what_is_wrong_is_named(content: Any, role: str, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_content(content, role, "x")
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.sampled_from(["", "text", "input_image", PNG]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "text", "image_url", "detail"]), inner),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["user", "assistant"]))
@settings(deadline=None)
def test_garbage_gives_parts_or_an_error_of_ours(content: Any, role: str) -> None:
    with suppress(ApiError):
        kinds = {part["type"] for part in parse_content(content, role, "x")}
        assert kinds <= {"input_text", "output_text", "input_image"}
