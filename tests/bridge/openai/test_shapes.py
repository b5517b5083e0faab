from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from bridge.errors import ApiError, invalid_request
from bridge.openai.shapes import Refused, Shape, body_object, decode, missing, wrong_type


class Circle(Shape, frozen=True, tag_field="kind", tag="circle"):
    size: int


class Square(Shape, frozen=True, tag_field="kind", tag="square"):
    size: int


class Picky(Shape, frozen=True):
    good: Any = None

    def __post_init__(self) -> None:
        match self.good:
            case None:
                raise missing("good")
            case str():
                raise wrong_type("good", self.good, "a number")
            case 0:
                raise Refused("", "'{where}' is nothing.", "empty")
            case [_, *_]:
                raise Refused("good[0]", "'{where}' is bad.")
            case _:
                pass


class Thing(Shape, frozen=True, kw_only=True):
    name: str
    size: int | None = None
    ratio: float | None = None
    loud: bool | None = None
    fields: dict[str, Any] | None = None
    values: list[str] | str | None = None
    one: Literal["a", "b", "c"] | None = None
    form: Circle | Square | None = None
    forms: list[Circle | Square] | None = None
    few: Annotated[list[int], Meta(max_length=2)] | None = None
    some: Annotated[int, Meta(ge=1)] | None = None
    picky: list[Picky] | None = None


def test_a_shape_is_decoded_and_what_it_does_not_declare_is_left_out() -> None:
    sent = {"name": "n", "size": -(2**70), "ratio": 1, "form": {"kind": "square", "size": 2}, "new": {"deep": [1]}}
    assert decode(sent, Thing) == Thing(name="n", size=-(2**70), ratio=1.0, form=Square(size=2))


def test_a_value_of_any_sort_stays_the_same_object() -> None:
    deep: dict[str, Any] = {"a": [1]}
    assert decode({"good": deep}, Picky).good is deep


@pytest.mark.parametrize(
    ("fields", "param", "message", "code"),
    [
        ({"size": "1"}, "size", "expected an integer, got a string", "invalid_type"),
        ({"size": True}, "size", "expected an integer, got a boolean", "invalid_type"),
        ({"size": 1.0}, "size", "expected an integer, got a number", "invalid_type"),
        ({"ratio": True}, "ratio", "expected a number, got a boolean", "invalid_type"),
        ({"loud": 1}, "loud", "expected a boolean, got an integer", "invalid_type"),
        ({"fields": []}, "fields", "expected an object, got an array", "invalid_type"),
        ({"values": {}}, "values", "expected a string or an array, got an object", "invalid_type"),
        ({"values": ["a", None]}, "values[1]", "expected a string, got null", "invalid_type"),
        ({"name": None}, "name", "expected a string, got null", "invalid_type"),
        ({"form": []}, "form", "expected an object, got an array", "invalid_type"),
        ({"forms": [{"kind": 5}]}, "forms[0].kind", "expected a string, got an integer", "invalid_type"),
        ({"forms": [{"kind": ["a"]}]}, "forms[0].kind", "expected a string, got an array", "invalid_type"),
        ({"forms": [{"kind": None}]}, "forms[0].kind", "expected a string, got null", "invalid_type"),
        ({"picky": [{"good": "x"}]}, "picky[0].good", "expected a number, got a string", "invalid_type"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused_with_its_path_and_both_types(
    fields: dict[str, Any], param: str, message: str, code: str
) -> None:
    check(fields, param, f"Invalid type for 'x.{param}': {message}.", code)


OTHER_FAULTS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"form": {"kind": "circle"}}, "form.size", "Missing required parameter: '{}'.", "missing_parameter"),
    ({"forms": [{}]}, "forms[0].kind", "Missing required parameter: '{}'.", "missing_parameter"),
    ({"picky": [{}]}, "picky[0].good", "Missing required parameter: '{}'.", "missing_parameter"),
    ({"one": "d"}, "one", "Invalid value for '{}': 'd'; use a, b or c.", "invalid_value"),
    ({"form": {"kind": "x"}}, "form.kind", "Invalid value for '{}': 'x'; use circle or square.", "invalid_value"),
    (
        {"forms": [{"kind": "circle", "size": 1}, {"kind": " - at `$"}]},
        "forms[1].kind",
        "Invalid value for '{}': ' - at `$'; use circle or square.",
        "invalid_value",
    ),
    ({"one": "d" * 99}, "one", f"Invalid value for '{{}}': '{'d' * 79}…; use a, b or c.", "invalid_value"),
    ({"few": [1, 2, 3]}, "few", "Invalid value for '{}': expected an array of length <= 2.", "invalid_value"),
    ({"some": 0}, "some", "Invalid value for '{}': expected an integer >= 1.", "invalid_value"),
    ({"picky": [{"good": 1}, {"good": 0}]}, "picky[1]", "'{}' is nothing.", "empty"),
    ({"picky": [{"good": ["x"]}]}, "picky[0].good[0]", "'{}' is bad.", "invalid_value"),
]


@pytest.mark.parametrize(("fields", "param", "message", "code"), OTHER_FAULTS, ids=str)
def test_any_other_fault_is_refused_with_its_path_and_what_would_be_right(
    fields: dict[str, Any], param: str, message: str, code: str
) -> None:
    check(fields, param, message.format(f"x.{param}"), code)


def check(fields: dict[str, Any], param: str, message: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode({"name": "n", **fields}, Thing, "x")
    assert asdict(caught.value) == asdict(invalid_request(message, f"x.{param}", code))


def test_the_place_of_an_element_can_be_counted_from_another_number() -> None:
    with pytest.raises(ApiError) as caught:
        decode({"name": "", "picky": [{"good": 1}, {"good": [5]}]}, Thing, first=7)
    assert (caught.value.param, caught.value.message) == ("picky[8].good[0]", "'picky[8].good[0]' is bad.")


@pytest.mark.parametrize("body", [None, [], "{}", 1, True, 1.5], ids=repr)
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(ApiError, match="Invalid type for 'body': expected an object, got ") as caught:
        body_object(body)
    assert (caught.value.param, caught.value.code) == ("body", "invalid_type")
    with pytest.raises(ApiError) as again:
        decode(body, Thing)
    assert asdict(again.value) == asdict(caught.value)


def test_a_body_is_not_copied() -> None:
    body: dict[str, Any] = {"a": 1}
    assert body_object(body) is body


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "circle", "`", " - at `$.a`"])
)
GARBAGE = st.recursive(
    LEAVES,
    lambda some: (
        st.lists(some, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "size", "form", "forms", "kind", "picky", "good", "few"]), some)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(GARBAGE | st.fixed_dictionaries({"name": st.just("")}, optional={"forms": GARBAGE, "picky": GARBAGE}))
def test_garbage_is_a_shape_or_a_complete_error(value: object) -> None:
    try:
        decode(value, Thing)
        return
    except ApiError as refused:
        error = refused
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert error.message
    assert error.param
    assert error.code
