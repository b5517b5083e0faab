from __future__ import annotations

from typing import Any

import pytest

from bridge.agents.client_tools import ClientTools, OpenCalls, in_thread, refused
from bridge.agents.translate import AgentTranslator
from bridge.conversation.events import Finished, ToolCall
from bridge.conversation.prompt import function_call, function_call_output
from bridge.conversation.tools import Tool, Toolbox
from codex_rpc.wire.events import ToolCallAsked
from codex_rpc.wire.messages import Request
from codex_rpc.wire.protocol import read_agent_request
from tests.bridge.agents.wire import FOLDER, THREAD, TURN

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
LOOKUP = Tool.function("lookup", "Looks up.", SCHEMA)
TOOLS = ClientTools.of(
    Toolbox(
        (
            LOOKUP,
            Tool.function("exec_command", "Mine.", SCHEMA),
            Tool.custom("apply_patch", "Mine.", None),
            Tool.function("lookup", "Finds customers.", SCHEMA).in_namespace("crm", "Customers."),
            Tool.function("codex_approval", "Asks.", SCHEMA),
        )
    )
)


def asking(tool: str, arguments: Any = None, namespace: str | None = "client", number: int = 0) -> ToolCallAsked:
    """Return codex's request for a call."""
    params = {
        "threadId": THREAD,
        "turnId": TURN,
        "callId": "call_1",
        "tool": tool,
        "namespace": namespace,
        "arguments": arguments if arguments is not None else {"q": "a"},
    }
    asked = read_agent_request(Request(number, "item/tool/call", params))
    assert isinstance(asked, ToolCallAsked)
    return asked


def test_the_tools_are_in_namespaces_of_their_own_without_the_function_for_approvals() -> None:
    assert [(spec["name"], [tool["name"] for tool in spec["tools"]]) for spec in TOOLS.specs()] == [
        ("client", ["lookup", "x_exec_command_aa6e9988", "apply_patch"]),
        ("client__crm", ["lookup"]),
    ]
    assert TOOLS.namespaces() == ["client", "client__crm"]
    assert TOOLS.specs()[1]["description"] == "Customers."
    assert ClientTools().specs() == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (asking("lookup"), ToolCall(f"{TURN}-0", "lookup", '{"q": "a"}')),
        (asking("lookup", namespace="client__crm"), ToolCall(f"{TURN}-0", "lookup", '{"q": "a"}', namespace="crm")),
        (asking("x_exec_command_aa6e9988", number=7), ToolCall(f"{TURN}-7", "exec_command", '{"q": "a"}')),
        (asking("apply_patch", {"input": "*** raw"}), ToolCall(f"{TURN}-0", "apply_patch", "*** raw", "custom")),
        (asking("lookup", namespace=None), None),
        (asking("lookup", namespace="crm"), None),
        (asking("codex_approval"), None),
        (asking("other"), None),
    ],
)
def test_a_call_has_the_names_of_the_client_and_an_id_of_its_own(
    asked: ToolCallAsked, expected: ToolCall | None
) -> None:
    assert TOOLS.call(asked) == expected


def test_an_answer_ends_after_its_calls_and_a_call_of_an_unknown_tool_is_not_passed_on() -> None:
    translator = AgentTranslator(FOLDER, TOOLS)
    passed_on = translator.feed([asking("lookup"), asking("other", number=1), asking("lookup", number=2)])

    assert [call.call_id for call in passed_on if isinstance(call, ToolCall)] == [f"{TURN}-0", f"{TURN}-2"]
    assert [*translator.called] == [f"{TURN}-0", f"{TURN}-2"]
    assert translator.suspend()[-1] == Finished("tool_calls")
    assert refused(asking("other"))[1] == {
        "contentItems": [{"type": "inputText", "text": "The client has no tool other."}],
        "success": False,
    }


def test_each_call_gets_its_output_and_a_call_without_one_fails() -> None:
    calls = OpenCalls()
    for number in range(3):
        calls.add(asked := asking("lookup", number=number), ToolCall(asked.unique_id, "lookup", "{}"))

    assert calls.names == ("lookup",) * 3
    assert calls.knows_any({f"{TURN}-1", "another"})
    assert not calls.knows_any({"another"})
    image = [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]
    settled = calls.settle({f"{TURN}-1": "one", f"{TURN}-2": image, "another": "x"})
    assert [(request.id, result["success"], result["contentItems"]) for request, result in settled] == [
        (0, False, [{"type": "inputText", "text": "The client gave no output."}]),
        (1, True, [{"type": "inputText", "text": "one"}]),
        (2, True, [{"type": "inputImage", "imageUrl": "data:image/png;base64,AA=="}]),
    ]
    assert len(calls) == 0
    assert calls.settle({f"{TURN}-0": "late"}) == []


@pytest.mark.parametrize(
    "other",
    [
        Tool.function("lookup", "Other words.", SCHEMA),
        Tool.function("lookup", "Looks up.", {"type": "object", "properties": {}}),
        LOOKUP.in_namespace("crm", ""),
        Tool.custom("lookup", "Looks up.", None),
    ],
)
def test_a_tool_that_differs_in_anything_has_another_digest(other: Tool) -> None:
    assert ClientTools((LOOKUP,)).digests() == (TOOLS.digests()[0],)
    assert ClientTools((other,)).digests() != ClientTools((LOOKUP,)).digests()


def test_calls_of_earlier_answers_are_in_the_namespaces_of_a_thread() -> None:
    call, output = function_call("c", "lookup", "{}"), function_call_output("c", "x")

    assert in_thread(call) == {**call, "namespace": "client"}
    assert in_thread({**call, "namespace": "crm"}) == {**call, "namespace": "client__crm"}
    assert in_thread(output) == output
