from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.agents.approvals import OpenApprovals, answered, as_call, is_about, read_decision
from bridge.agents.bounded_text import LONGEST
from bridge.agents.translate import AgentTranslator
from bridge.conversation.events import Asked, Finished, StepDone, ToolCall, Used
from bridge.openai.responses.approvals import Decision
from codex_rpc.wire.approvals import ApprovalAsked
from codex_rpc.wire.events import Event, TokenUsage
from codex_rpc.wire.messages import Request
from codex_rpc.wire.protocol import read_agent_request
from tests.bridge.agents.wire import FOLDER, PATCH, THREAD, TURN, command, mcp_call, started

IDS = {"threadId": THREAD, "turnId": TURN}
COMMAND: dict[str, Any] = {
    "kind": "command",
    **IDS,
    "itemId": "call_1",
    "startedAtMs": 1795912684752,
    "environmentId": "local",
    "reason": "May I?",
    "command": "/bin/bash -lc 'echo out > /outside'",
    "cwd": "/w/site",
    "commandActions": [{"type": "unknown", "command": "echo out > /outside"}],
    "proposedExecpolicyAmendment": ["/bin/bash", "-lc", "echo out > /outside"],
    "availableDecisions": ["accept", {"acceptWithExecpolicyAmendment": {}}, "cancel"],
}
PATCHING: dict[str, Any] = {**IDS, "itemId": "call_1", "startedAtMs": 1, "reason": None, "grantRoot": None}
CALL: dict[str, Any] = {
    **IDS,
    "serverName": "usermcp",
    "mode": "form",
    "_meta": {
        "codex_approval_kind": "mcp_tool_call",
        "persist": ["session", "always"],
        "tool_name": "echo",
        "tool_params": {"text": "hello"},
    },
    "message": 'Allow the usermcp MCP server to run tool "echo"?',
    "requestedSchema": {"type": "object", "properties": {}},
}
WITHOUT_NAME = {**CALL, "_meta": {"codex_approval_kind": "mcp_tool_call", "persist": ["session"]}}
RUN = "item/commandExecution/requestApproval"
APPLY = "item/fileChange/requestApproval"
ELICIT = "mcpServer/elicitation/request"


def asking(method: str, params: dict[str, Any], request_id: int = 0) -> ApprovalAsked:
    asked = read_agent_request(Request(request_id, method, params))
    assert isinstance(asked, ApprovalAsked)
    return asked


def shown(asked: ApprovalAsked, *before: Event) -> Asked | None:
    """Return what the client is asked after these events."""
    translator = AgentTranslator(FOLDER)
    translator.feed(before)
    events = translator.feed([asked])
    assert translator.asked == {one.approval_id: one for one in events if isinstance(one, Asked)}
    return events[0] if events and isinstance(events[0], Asked) else None


RUNNING = started(command(command="/bin/bash -lc 'echo out > /outside'"))


def test_a_command_is_asked_about_with_its_reason():
    assert shown(asking(RUN, COMMAND), RUNNING) == Asked(
        f"{TURN}-0", "call_1", "codex", "shell", {"command": "echo out > /outside", "cwd": ".", "reason": "May I?"}
    )


def test_a_patch_is_asked_about_with_its_changes():
    patch = started({"type": "fileChange", "id": "call_1", "changes": PATCH, "status": "inProgress"})
    asked = shown(asking(APPLY, PATCHING), patch)

    assert asked is not None
    assert (asked.name, asked.arguments["reason"]) == ("apply_patch", None)
    assert [change["path"] for change in asked.arguments["changes"]] == ["hello.txt", "new.py"]


@pytest.mark.parametrize(("length", "is_asked"), [(LONGEST, True), (LONGEST + 1, False)])
def test_a_patch_that_is_too_long_to_be_shown_is_not_asked(length: int, *, is_asked: bool):
    changes = [*PATCH, {"path": "/w/site/long", "kind": {"type": "add"}, "diff": "x" * length}]
    patch = started({"type": "fileChange", "id": "call_1", "changes": changes, "status": "inProgress"})

    assert (shown(asking(APPLY, PATCHING), patch) is not None) == is_asked


@pytest.mark.parametrize("params", [CALL, WITHOUT_NAME], ids=["named", "not named"])
def test_a_call_of_an_mcp_tool_is_asked_about_also_where_codex_names_only_the_server(params: dict[str, Any]):
    asked = shown(asking(ELICIT, params), started(mcp_call("inProgress", result=None)))

    arguments = {"arguments": {"text": "hello"}, "reason": CALL["message"]}
    step_id = "" if params is CALL else "call_1"
    assert asked == Asked(f"{TURN}-0", step_id, "usermcp", "echo", arguments)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (RUN, {**COMMAND, "command": None}),
        (APPLY, {**PATCHING, "itemId": "call_1"}),
        (RUN, {**COMMAND, "kind": "writeStdin"}),
        (RUN, {**COMMAND, "kind": "humanCommand"}),
        (RUN, {**COMMAND, "networkApprovalContext": {"host": "example.com", "protocol": "https"}}),
        (APPLY, {**PATCHING, "grantRoot": "/"}),
        (APPLY, {**PATCHING, "itemId": "unknown"}),
        (ELICIT, {**CALL, "turnId": None}),
        (ELICIT, {**CALL, "_meta": None}),
        (ELICIT, {**CALL, "_meta": {"codex_approval_kind": "other"}}),
        (ELICIT, {**CALL, "mode": "url", "url": "https://x", "elicitationId": "e"}),
        (ELICIT, {**CALL, "mode": "openai/userVerification"}),
        (ELICIT, WITHOUT_NAME),
    ],
)
def test_what_cannot_be_shown_as_a_whole_is_not_asked(method: str, params: dict[str, Any]):
    assert shown(asking(method, params), RUNNING) is None


def test_a_question_of_one_of_two_calls_that_codex_does_not_name_is_not_asked():
    calls = [started(mcp_call("inProgress", result=None, id=one)) for one in ("a", "b")]

    assert shown(asking(ELICIT, WITHOUT_NAME), *calls) is None


def test_a_command_is_that_of_the_question_whatever_else_has_its_id():
    other = started(command(command="/bin/bash -lc 'ls'"))
    asked = shown(asking(RUN, COMMAND), other)

    assert asked is not None
    assert asked.arguments["command"] == "echo out > /outside"


@pytest.mark.parametrize("shell", ["/w/site/bash", "bash", "/bin/evil", "/usr/bin/../../w/sh"])
def test_a_shell_that_is_not_of_the_system_is_shown(shell: str):
    asked = shown(asking(RUN, {**COMMAND, "command": f"{shell} -lc ls"}))

    assert asked is not None
    assert asked.arguments["command"] == f"{shell} -lc ls"


@pytest.mark.parametrize(
    ("method", "params", "item"),
    [
        (APPLY, PATCHING, {"type": "fileChange", "id": "call_1", "changes": PATCH, "status": "inProgress"}),
        (ELICIT, WITHOUT_NAME, mcp_call("inProgress", result=None)),
    ],
)
def test_what_a_question_does_not_show_itself_is_asked_about_once(
    method: str, params: dict[str, Any], item: dict[str, Any]
):
    translator = AgentTranslator(FOLDER)
    translator.feed([started(item)])

    assert [len(translator.feed([asking(method, params, number)])) for number in range(2)] == [1, 0]
    assert translator.asked.keys() == {f"{TURN}-0"}


@pytest.mark.parametrize(
    "method", ["item/tool/requestUserInput", "item/permissions/requestApproval", "execCommandApproval"]
)
def test_other_questions_of_codex_are_not_read(method: str):
    assert read_agent_request(Request(1, method, IDS)) is None


def test_the_answer_ends_after_questions_and_what_waits_is_incomplete():
    translator = AgentTranslator(FOLDER)
    translator.feed([RUNNING, asking(RUN, COMMAND)])

    first, used, last = translator.suspend()
    assert isinstance(first, StepDone)
    assert not first.is_complete
    assert used == Used(TokenUsage(0, 0, 0, 0))
    assert last == Finished("tool_calls")


def test_each_question_is_answered_by_the_word_that_codex_expects():
    def result(method: str, params: dict[str, Any], *, accepted: bool) -> Any:
        return answered(asking(method, params), accepted=accepted)[1]

    assert result(RUN, COMMAND, accepted=True) == {"decision": "accept"}
    assert result(RUN, COMMAND, accepted=False) == {"decision": "decline"}
    assert result(APPLY, PATCHING, accepted=True) == {"decision": "accept"}
    assert result(ELICIT, CALL, accepted=True) == {"action": "accept", "content": None, "_meta": None}
    assert result(ELICIT, CALL, accepted=False) == {"action": "decline", "content": None, "_meta": None}


def open_questions(count: int) -> OpenApprovals:
    questions = OpenApprovals()
    for number in range(count):
        asked = asking(RUN, COMMAND, number)
        questions.add(asked, Asked(asked.approval_id, "call_1", "codex", "shell", {}))
    return questions


@pytest.mark.parametrize(
    ("page", "client", "decision"),
    [
        ([True], None, "accept"),
        ([True], True, "accept"),
        ([False], None, "decline"),
        ([True], False, "decline"),
        ([False], True, "decline"),
        ([True, False], None, "decline"),
        ([False, True], None, "decline"),
        ([False, True], True, "decline"),
        ([], None, "decline"),
    ],
)
def test_what_the_page_or_the_client_declines_is_never_done(page: list[bool], client: bool | None, decision: str):
    questions = open_questions(1)
    for approve in page:
        assert questions.decide(f"{TURN}-0", approve=approve)
    [(_, result)] = questions.settle({} if client is None else {f"{TURN}-0": Decision(client)})

    assert result == {"decision": decision}
    assert not questions.decide(f"{TURN}-0", approve=True)


def test_of_several_questions_only_those_with_a_yes_are_accepted():
    questions = open_questions(3)

    assert questions.knows_any({f"{TURN}-0", "another"})
    assert not questions.knows_any({"another"})
    settled = questions.settle({f"{TURN}-1": Decision(approve=True), f"{TURN}-2": Decision(approve=False)})
    assert [(request.id, result["decision"]) for request, result in settled] == [
        (0, "decline"),
        (1, "accept"),
        (2, "decline"),
    ]
    assert len(questions) == 0
    assert questions.settle({f"{TURN}-0": Decision(approve=True)}) == []


def test_a_chat_client_is_asked_by_a_call_of_its_function():
    asked = Asked("turn_1-0", "a", "codex", "shell", {"command": "ls", "cwd": ".", "reason": None})
    call = as_call(asked)

    assert isinstance(call, ToolCall)
    assert (call.call_id, call.name) == ("turn_1-0", "codex_approval")
    assert json.loads(call.arguments) == {"action": "run a command", "command": "ls", "cwd": ".", "reason": None}
    assert json.loads(as_call(Asked("a", "", "s", "t", {})).arguments)["action"] == "call s.t"


@pytest.mark.parametrize("output", ["approve", "Approved.", " yes\n", '"accept"', "true", "YES!"])
def test_a_yes_accepts(output: str):
    assert read_decision(output) == Decision(approve=True)


@pytest.mark.parametrize(
    "output", ["", "no", "No.", '"decline"', "Declined", "denied", " rejected\n", "cancelled", "false"]
)
def test_a_bare_no_declines_and_says_nothing_more(output: str):
    assert read_decision(output) == Decision(approve=False)


@pytest.mark.parametrize("output", ["no, write it here", "approve? no", "yes, but elsewhere", "not approved", "1", "I"])
def test_anything_but_a_yes_declines_and_its_words_are_for_the_model(output: str):
    assert read_decision(f" {output}\n") == Decision(approve=False, words=output)


def test_only_the_words_about_questions_that_wait_are_for_the_model():
    questions = open_questions(3)
    answers = {
        f"{TURN}-2": Decision(approve=False, words="second"),
        f"{TURN}-0": Decision(approve=False, words="first"),
        f"{TURN}-1": Decision(approve=True),
        "settled long ago": Decision(approve=False, words="old"),
    }

    assert questions.words(answers) == ["first", "second"]
    questions.settle(answers)
    assert questions.words(answers) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked("q", "call_1", "codex", "shell", {}), True),
        (Asked("q", "call_2", "codex", "shell", {}), False),
        (Asked("q", "", "codex", "shell", {"arguments": {"command": "ls"}}), True),
        (Asked("q", "", "codex", "shell", {"arguments": {"command": "rm"}}), False),
        (Asked("q", "", "other", "shell", {"arguments": {"command": "ls"}}), False),
    ],
)
def test_a_question_is_about_the_step_that_codex_names_or_else_about_the_same_call(asked: Asked, expected: bool):
    assert is_about(asked, StepDone("call_1", "codex", "shell", {"command": "ls"})) == expected
