"""An input that is read on is read as if it were new, whatever became of the conversation in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ApiError
from bridge.openai.chat.request import parse as parse_chat
from bridge.openai.responses.fields import read_body
from bridge.openai.responses.input import Recent
from bridge.openai.responses.request import HalfParsedRequest, ResponseRequest
from bridge.openai.responses.request import begin as begin_body

EDIT: dict[str, Any] = {"type": "custom", "name": "edit"}
SEARCH: dict[str, Any] = {"type": "tool_search", "execution": "client", "description": "", "parameters": {}}
STORED: dict[str, Any] = {
    "msg_1": {"type": "message", "id": "msg_1", "role": "assistant", "content": "Stored."},
    "rs_1": {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"},
    "ctc_1": {"type": "custom_tool_call", "id": "ctc_1", "call_id": "s", "name": "edit", "input": "+x"},
}
SAID = st.sampled_from(["", "a", "b", "<think>\nhm\n</think>\n\n", "<think>\nhm\n</think>\n\nyes"])
NUMBERS = st.sampled_from([0, 1, 1.0, True, False])


def begin(body: object, history: Sequence[Any] = (), recent: Recent | None = None) -> HalfParsedRequest:
    return begin_body(read_body(body), history, recent)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def search(number: float) -> list[dict[str, Any]]:
    return [{"type": "web_search_call", "action": {"type": "search", "number": number}}]


def approval(answer: float) -> list[dict[str, Any]]:
    return [{"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": answer}]


def called(kind: str, call_id: str, said: str) -> list[dict[str, Any]]:
    field = "input" if kind == "custom_tool_call" else "arguments"
    call = {"type": kind, "call_id": call_id, "name": "edit", field: said}
    return [call, {"type": f"{kind}_output", "call_id": call_id, "output": "Done."}]


def found(number: float) -> list[dict[str, Any]]:
    """A search of the client that finds a tool with a number in its schema."""
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "minProperties": number}}
    call = {"type": "tool_search_call", "call_id": "f", "arguments": {"limit": number}}
    return [call, {"type": "tool_search_output", "call_id": "f", "tools": [tool]}]


STEPS = st.one_of(
    st.sampled_from(["a", "b", "c"]).map(lambda text: [user(text)]),
    SAID.map(lambda text: [{"type": "message", "role": "assistant", "content": text or "c"}]),
    st.builds(called, st.sampled_from(["function_call", "custom_tool_call"]), st.sampled_from("12"), SAID),
    SAID.map(lambda text: [{"role": "assistant", "content": text or "c"}, *called("function_call", "1", "{}")]),
    NUMBERS.map(search),
    NUMBERS.map(found),
    st.just([{"type": "additional_tools", "tools": [EDIT]}]),
    st.sampled_from(["msg_1", "msg_2"]).map(lambda name: [{"type": "item_reference", "id": name}]),
    st.sampled_from(["rs_1", "rs_2"]).map(lambda name: [{"type": "reasoning", "id": name, "summary": []}]),
    NUMBERS.map(approval),
    st.just([{"id": "ctc_1"}, {"type": "custom_tool_call_output", "call_id": "s", "output": "Done."}]),
    st.sampled_from([[called("function_call", "1", "{}")[0]], [user("")], [5]]),
)
EDITS = st.tuples(st.sampled_from(["more", "more", "more", "cut", "changed"]), st.integers(0, 9), STEPS)


def edited(values: list[Any], edit: tuple[str, int, list[Any]]) -> list[Any]:
    """What becomes of an input from one request to the next: it goes on, loses its end, or is edited."""
    how, at, new = edit
    match how:
        case "more":
            return [*values, *new]
        case "cut":
            return values[:at]
        case _:
            return [*values[:at], *new, *values[at + 1 :]]


def whole(asked: ResponseRequest) -> object:
    """All that is read, in a form in which `1` is not `True`."""
    tools = asked.settings.toolbox
    return orjson.dumps([asked.items, asked.input, tools.specs(), [tool.kind for tool in tools.tools]])


def test_an_approval_that_is_a_number_is_refused_although_it_equals_one_that_was_read():
    recent = Recent()
    begin({"model": "m", "input": [*approval(True), user("Hi.")]}, (), recent).read({})

    with pytest.raises(ApiError, match="approve"):
        begin({"model": "m", "input": [*approval(1), user("Hi.")]}, (), recent).read({})


@given(st.lists(st.tuples(EDITS, st.sampled_from([None, "Be."]), st.sampled_from([[], [EDIT], [SEARCH]])), max_size=12))
@settings(deadline=None, max_examples=200)
def test_an_input_that_is_read_on_is_read_as_if_it_were_new(turns: list[Any]) -> None:
    recent, values = Recent(), list[Any]()

    def read(instructions: str | None, tools: Any, recent: Recent | None) -> object:
        body = {"model": "m", "input": [user("Hi."), *values], "instructions": instructions, "tools": tools}
        try:
            begun = begin(orjson.loads(orjson.dumps(body)), (), recent)
            wanted = begun.input.references()
            return whole(begun.read({name: item for name, item in STORED.items() if name in wanted}))
        except ApiError as error:
            return error.body()

    for edit, instructions, tools in turns:
        values = edited(values, edit)
        assert read(instructions, tools, recent) == read(instructions, tools, None)


@given(st.lists(st.tuples(EDITS, st.sampled_from([None, "Be."])), max_size=12), st.sampled_from(["off", "think"]))
@settings(deadline=None, max_examples=200)
def test_an_input_to_chat_that_is_read_on_is_read_as_if_it_were_new(turns: list[Any], display: Any) -> None:
    recent, values = Recent(), list[Any]()

    def read(instructions: str | None, recent: Recent | None) -> object:
        body = {"model": "m", "input": [user("Hi."), *values], "instructions": instructions, "tools": [EDIT]}
        try:
            return orjson.dumps(parse_chat(orjson.loads(orjson.dumps(body)), display, recent=recent).items)
        except ApiError as error:
            return error.body()

    for edit, instructions in turns:
        values = edited(values, edit)
        assert read(instructions, recent) == read(instructions, None)


@given(st.lists(st.lists(STEPS, max_size=3), min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=6))
@settings(deadline=None, max_examples=200)
def test_a_chain_that_is_read_on_is_read_as_if_it_were_new(turns: list[Any], continued: list[int]) -> None:
    """Each turn continues one of those before it, so that chains fork."""
    recent, ends = Recent(), list[Sequence[Any]]([()])
    for number, steps in enumerate(turns):
        earlier = ends[continued[number] % len(ends)] if number < len(continued) else ends[-1]
        body = {"model": "m", "input": [user("Hi."), *(value for step in steps for value in step)], "tools": [EDIT]}

        def read(recent: Recent | None, body: Any = body, earlier: Any = earlier) -> Any:
            try:
                return begin(body, earlier, recent).read(STORED)
            except ApiError as error:
                return error.body()

        new, on = read(None), read(recent)
        assert (whole(on) if isinstance(on, ResponseRequest) else on) == (
            whole(new) if isinstance(new, ResponseRequest) else new
        )
        if isinstance(new, ResponseRequest):
            ends.append((*earlier, *new.input, {"type": "message", "role": "assistant", "content": f"{number}"}))


def test_what_was_read_before_is_neither_read_nor_looked_up_again() -> None:
    recent = Recent()
    first: list[Any] = [{"type": "item_reference", "id": "msg_1"}, user("one?")]

    begun = begin({"model": "m", "instructions": "Be.", "input": first}, (), recent)
    assert begun.input.references() == ("msg_1",)
    one = begun.read(STORED)
    begun = begin({"model": "m", "instructions": "Be.", "input": [*first, user("two?")]}, (), recent)
    assert begun.input.references() == ()
    two = begun.read({})

    assert [item is another for item, another in zip(one.items, two.items, strict=False)] == [True] * 3
    assert two.input == [STORED["msg_1"], user("one?"), user("two?")]


def test_a_block_that_calls_follow_is_left_out_although_it_was_read_without_them() -> None:
    recent = Recent()
    values: list[Any] = [user("one?"), {"role": "assistant", "content": "<think>\nhm\n</think>\n\n"}]

    alone = parse_chat({"model": "m", "input": values}, "think", recent=recent)
    values += called("function_call", "1", "{}")
    followed = parse_chat({"model": "m", "input": values}, "think", recent=recent)

    assert [item["type"] for item in alone.items] == ["message", "message"]
    assert [item["type"] for item in followed.items] == ["message", "function_call", "function_call_output"]


def test_what_was_read_can_be_forgotten() -> None:
    recent = Recent()
    body = {"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}, user("one?")]}
    begin(body, (), recent).read(STORED)
    assert begin(body, (), recent).read({}).items

    recent.clear()

    with pytest.raises(ApiError):
        begin(body, (), recent).read({})


def test_an_error_behind_what_is_known_names_its_place_in_the_request() -> None:
    recent, earlier = Recent(), [user("one?"), {"role": "assistant", "content": "one."}]
    begin({"model": "m", "input": [user("two?")]}, earlier, recent).read({})

    with pytest.raises(ApiError) as caught:
        begin({"model": "m", "input": [user("two?"), {"role": "user", "content": 5}]}, earlier, recent).read({})

    assert caught.value.param == "input[1].content"


@pytest.mark.parametrize("between", [{"type": "reasoning", "id": "rs_2"}, {"type": "additional_tools", "tools": []}])
def test_a_block_is_left_out_too_when_a_value_that_is_no_item_followed_it(between: Any) -> None:
    recent = Recent()
    values: list[Any] = [user("one?"), {"role": "assistant", "content": "<think>\nhm\n</think>\n\n"}, between]

    parse_chat({"model": "m", "input": values}, "think", recent=recent)
    values += called("function_call", "1", "{}")
    followed = parse_chat({"model": "m", "input": values}, "think", recent=recent)

    assert [item["type"] for item in followed.items] == ["message", "function_call", "function_call_output"]


@pytest.mark.parametrize("kind", [[], {}, None, ""])
def test_a_message_may_have_an_empty_value_of_any_sort_for_its_type(kind: object) -> None:
    asked = begin({"model": "m", "input": [{**user("one?"), "type": kind}]}).read({})

    assert [item["type"] for item in asked.items] == ["message"]


@pytest.mark.parametrize("known", [False, True], ids=["at first", "behind a known input"])
@pytest.mark.parametrize("earlier", [[], [user("none?")]], ids=["whole", "in a chain"])
def test_an_error_in_declared_tools_names_its_place_in_the_request(known: bool, earlier: list[Any]) -> None:
    recent, first = Recent(), user("one?")
    if known:
        begin({"model": "m", "input": [first]}, earlier, recent).read({})
    declared = {"type": "additional_tools", "tools": [{"type": "function"}]}
    begun = begin({"model": "m", "input": [first, declared]}, earlier, recent)

    with pytest.raises(ApiError) as caught:
        begun.read({})

    assert caught.value.param == "input[1].tools[0].name"


def test_the_tools_are_those_of_the_request_though_others_were_equal_but_for_a_number() -> None:
    recent = Recent()

    for constant in (1, True):
        schema = {"type": "object", "properties": {"one": {"type": ["integer", "boolean"], "enum": [constant]}}}
        body = {"model": "m", "input": "Hi.", "tools": [{"type": "function", "name": "f", "parameters": schema}]}
        (tool,) = begin(body, (), recent).read({}).settings.toolbox.tools
        assert tool.schema["properties"]["one"]["enum"][0] is constant
