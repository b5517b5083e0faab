from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.openai.content import Content, input_parts, output_parts, tool_output
from bridge.openai.shapes import Shape, decode, lost

PNG = "data:image/png;base64,iVBORw0KGgo="
IN, OUT = ({"type": kind, "text": "Hi."} for kind in ("input_text", "output_text"))
EMPTY: dict[str, Any] = {}


class Holder(Shape, frozen=True):
    x: Content = None


def read(content: object) -> Content:
    return decode({"x": content}, Holder).x


SENT = {"type": "input_image", "image_url": PNG}
IMAGE = {**SENT, "detail": "original"}


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
        ([{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}], [{**IMAGE, "detail": "high"}]),
        ([{"type": "image_url", "image_url": PNG, "detail": None}], [IMAGE]),
        ([{"type": "input_image", "image_url": PNG, "detail": "high"}], [{**IMAGE, "detail": "high"}]),
        ([{"type": "input_image", "image_url": {"url": PNG, "detail": ""}}], [IMAGE]),
    ],
)
def test_content_of_either_dialect_becomes_parts(content: Any, parts: list[Any]) -> None:
    assert input_parts(read(content)) == parts


@pytest.mark.parametrize(
    ("part", "lost_paths"),
    [
        ({**SENT, "detail": "low"}, ["x[].detail"]),
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}, ["x[].image_url.detail"]),
        ({**SENT, "detail": "high"}, []),
        ({**SENT, "detail": "auto"}, []),
        (SENT, []),
    ],
)
def test_a_detail_that_codex_cannot_send_is_named(part: dict[str, Any], lost_paths: list[str]) -> None:
    body = {"x": [part]}
    assert lost(body, decode(body, Holder)) == lost_paths


def test_a_text_of_the_assistant_is_output() -> None:
    assert output_parts(read("Hi.")) == [OUT]
    assert output_parts(read([IN, {"type": "refusal", "refusal": "Hi."}])) == [OUT, OUT]


@pytest.mark.parametrize(
    ("content", "output"),
    [("Hi.", "Hi."), ("", ""), (None, ""), ([], ""), ([OUT], [IN]), ([SENT, IN], [IMAGE, IN])],
)
def test_an_output_is_a_text_or_parts(content: Any, output: Any) -> None:
    assert tool_output(read(content)) == output


@pytest.mark.parametrize(
    ("content", "param", "code"),
    [
        (5, "x", "invalid_type"),
        ({"type": "text", "text": "Hi."}, "x", "invalid_type"),
        ([IN, "Hi."], "x[1]", "invalid_type"),
        ([IN, EMPTY], "x[1].type", "missing_parameter"),
        ([{"type": 5}], "x[0].type", "invalid_type"),
        ([{"type": "video"}], "x[0].type", "invalid_value"),
        ([{"type": "text"}], "x[0].text", "missing_parameter"),
        ([{"type": "text", "text": None}], "x[0].text", "invalid_type"),
        ([{"type": "refusal", "text": "No."}], "x[0].refusal", "missing_parameter"),
        ([{"type": "input_image"}], "x[0].image_url", "missing_parameter"),
        ([{"type": "input_image", "image_url": EMPTY}], "x[0].image_url.url", "missing_parameter"),
        ([{"type": "input_image", "image_url": "a.png"}], "x[0].image_url", "invalid_image_url"),
        ([{**IMAGE, "detail": 1}], "x[0].detail", "invalid_type"),
        ([{"type": "file"}], "x[0]", "unsupported_content"),
        ([{"type": "input_file"}], "x[0]", "unsupported_content"),
        ([{"type": "input_audio"}], "x[0]", "unsupported_content"),
    ],
)
def test_what_is_wrong_is_named(content: Any, param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(content)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.sampled_from(["", "text", "input_image", PNG]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "text", "image_url", "detail"]), inner),
    max_leaves=8,
)


@given(JSON)
@settings(deadline=None)
def test_garbage_gives_parts_or_an_error_of_ours(content: Any) -> None:
    with suppress(ApiError):
        kinds = {part["type"] for part in input_parts(read(content))}
        assert kinds <= {"input_text", "output_text", "input_image"}
