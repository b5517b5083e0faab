from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError, invalid_request
from bridge.openai.fields import (
    expect,
    expect_object,
    optional,
    optional_object,
    required,
    required_list,
    wrong_type,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("", str), (0, int), (-(2**70), int), (False, bool), ({}, dict), ([], list), (1.5, float)],
    ids=["string", "integer", "large integer", "boolean", "object", "array", "number"],
)
def test_a_value_of_the_kind_comes_back(value: Any, kind: type[Any]) -> None:
    assert expect(value, kind, "x") is value
    assert optional({"x": value}, "x", kind) is value
    assert required({"x": value}, "x", kind) is value


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (1, str, "expected a string, got an integer"),
        ("1", int, "expected an integer, got a string"),
        (True, int, "expected an integer, got a boolean"),
        (1.0, int, "expected an integer, got a number"),
        (1, bool, "expected a boolean, got an integer"),
        ([], dict, "expected an object, got an array"),
        ({}, list, "expected an array, got an object"),
        (None, str, "expected a string, got null"),
    ],
    ids=["integer", "string", "boolean", "number", "one for true", "array", "object", "null"],
)
def test_a_value_of_another_kind_is_refused_with_its_place_and_both_kinds(
    value: Any, kind: type[Any], message: str
) -> None:
    expected = asdict(invalid_request(f"Invalid type for 'a.x': {message}.", "a.x", "invalid_type"))
    with pytest.raises(ApiError) as caught:
        expect(value, kind, "a.x")
    assert asdict(caught.value) == expected
    with pytest.raises(ApiError) as caught:
        required({"x": value}, "x", kind, "a.x")
    assert asdict(caught.value) == expected


def test_an_optional_field_may_be_missing_or_null() -> None:
    assert optional({}, "x", str) is None
    assert optional({"x": None}, "x", str) is None


def test_an_optional_field_of_another_kind_is_refused_by_its_name() -> None:
    with pytest.raises(ApiError) as caught:
        optional({"size": 1}, "size", str)
    assert caught.value.param == "size"


@pytest.mark.parametrize(("where", "named"), [("", "size"), ("a[0].size", "a[0].size")], ids=["by name", "by path"])
def test_a_required_field_that_is_missing_is_named(where: str, named: str) -> None:
    with pytest.raises(ApiError) as caught:
        required({}, "size", str, where)
    assert asdict(caught.value) == asdict(
        invalid_request(f"Missing required parameter: '{named}'.", named, "missing_parameter")
    )


def test_a_kind_that_json_does_not_know_is_named_as_python_does() -> None:
    assert wrong_type(b"", "a string", "x").message == "Invalid type for 'x': expected a string, got bytes."


EMPTY: tuple[Any, ...] = ([], {})
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.sampled_from(EMPTY)
)


@settings(deadline=None)
@given(
    value=VALUES,
    kind=st.sampled_from([str, int, bool, dict, list, float]),
)
def test_any_value_is_exactly_of_its_own_kind(value: Any, kind: type[Any]) -> None:
    try:
        of_kind = expect(value, kind, "x") is value
    except ApiError:
        of_kind = False
    assert of_kind is (type(value) is kind)


def test_an_object_and_an_array_come_back() -> None:
    inner: dict[str, Any] = {"a": [1]}
    assert expect_object(inner, "x") is inner
    assert optional_object({"x": inner}, "x") is inner
    assert required_list(inner, "a") is inner["a"]


@pytest.mark.parametrize("body", [{}, {"x": None}, {"x": {}}], ids=["missing", "null", "empty"])
def test_an_optional_object_may_be_missing_null_or_empty(body: dict[str, Any]) -> None:
    assert optional_object(body, "x") == {}


@pytest.mark.parametrize("value", [[], "{}", 1, False, 0, ""], ids=repr)
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ApiError, match="expected an object") as caught:
        expect_object(value, "a.x")
    assert caught.value.param == "a.x"
    with pytest.raises(ApiError, match="expected an object") as caught:
        optional_object({"size": value}, "size")
    assert caught.value.param == "size"


@pytest.mark.parametrize("value", [{}, "[]", None], ids=repr)
def test_what_is_no_array_is_refused(value: object) -> None:
    with pytest.raises(ApiError, match="expected an array") as caught:
        required_list({"size": value}, "size")
    assert (caught.value.param, caught.value.code) == ("size", "invalid_type")


def test_a_required_array_that_is_missing_is_named() -> None:
    with pytest.raises(ApiError) as caught:
        required_list({}, "size")
    assert (caught.value.param, caught.value.code) == ("size", "missing_parameter")
