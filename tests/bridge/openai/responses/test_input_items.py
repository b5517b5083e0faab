from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from bridge.errors import ApiError
from bridge.openai.responses.input_items import Page, input_items, page
from bridge.store.response import Stored

STRICT: TypeAdapter[Any] = TypeAdapter(ResponseItem)
ITEMS = [{"type": "message", "id": name, "role": "user"} for name in "abcde"]
TEXT: dict[str, Any] = {"type": "input_text", "text": "Hi."}


def stored(*given: dict[str, Any], output: tuple[dict[str, Any], ...] = ()) -> Stored:
    return Stored({"id": "resp_k", "previous_response_id": None}, given, output)


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ({}, "edcba", False),
        ({"order": "asc"}, "abcde", False),
        ({"limit": "2"}, "ed", True),
        ({"limit": "2", "after": "d"}, "cb", True),
        ({"limit": "2", "after": "b"}, "a", False),
        ({"order": "asc", "limit": "2", "after": "b"}, "cd", True),
        ({"order": "asc", "before": "c"}, "ab", False),
        ({"order": "asc", "after": "a", "before": "e", "limit": "2"}, "bc", True),
        ({"after": "a"}, "", False),
    ],
    ids=str,
)
def test_a_page_is_the_wanted_part_of_the_list(query: dict[str, str], ids: str, *, has_more: bool) -> None:
    found = page(ITEMS, Page.read(query))
    assert "".join(item["id"] for item in found["data"]) == ids
    assert (found["object"], found["has_more"]) == ("list", has_more)
    assert (found["first_id"], found["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_behind_each_other_are_the_list(limit: int) -> None:
    seen: list[str] = []
    query = {"limit": str(limit)}
    while True:
        found = page(ITEMS, Page.read(query))
        seen += [item["id"] for item in found["data"]]
        if not found["has_more"]:
            break
        query["after"] = found["last_id"]
    assert seen == [*"edcba"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "x"}, "after"),
        ({"before": "x"}, "before"),
    ],
    ids=str,
)
def test_a_page_that_there_is_not_is_refused(query: dict[str, str], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        page(ITEMS, Page.read(query))
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, "invalid_value")


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "Hi."},
        {"role": "user", "content": [TEXT]},
        {"type": None, "id": None, "status": None, "role": "developer", "content": "Hi."},
        {"type": "message", "role": "assistant", "content": "Hi."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]},
        {"type": "message", "id": "msg_1", "role": "user", "content": [TEXT]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
        {"type": "reasoning", "summary": []},
        {"type": "web_search_call", "action": {"type": "search", "query": "x"}},
        {"type": "mcp_call", "server_label": "codex", "name": "shell", "arguments": "{}"},
        {"type": "mcp_list_tools", "server_label": "codex", "tools": []},
        {"type": "mcp_approval_request", "server_label": "codex", "name": "shell", "arguments": "{}"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {}},
        {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": []},
    ],
    ids=str,
)
def test_an_item_is_listed_as_the_strict_client_reads_it(item: dict[str, Any]) -> None:
    [listed] = input_items([stored(item)])
    STRICT.validate_python(listed)
    assert listed["id"] == (item.get("id") or listed["id"])


def test_items_stand_in_the_order_in_which_the_model_saw_them_each_with_an_id_of_its_own() -> None:
    hi = {"role": "user", "content": "Hi."}
    answer: dict[str, Any] = {"type": "message", "id": "msg_k_0", "role": "assistant", "content": []}
    chain = [stored(hi, hi, output=(answer,)), Stored({"id": "resp_l", "previous_response_id": "resp_k"}, [hi], [])]
    assert [item["id"] for item in input_items(chain)] == ["msg_k_in0", "msg_k_in1", "msg_k_0", "msg_l_in0"]
    assert [item["id"] for item in input_items(chain, output=False)] == ["msg_k_in0", "msg_k_in1", "msg_l_in0"]


def test_encrypted_reasoning_is_listed_on_request() -> None:
    items: list[dict[str, Any]] = [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}]
    assert page(items, Page())["data"] == [{"type": "reasoning", "id": "rs_1", "summary": []}]
    assert page(items, Page(), encrypted=True)["data"] == items
