from __future__ import annotations

from msgspec.structs import replace

from bridge.conversation.prompt import Prompt, message
from bridge.conversation.thread_params import thread_start_params
from bridge.conversation.tools import Tool, Toolbox

PROMPT = Prompt("gpt-5.2", (message("user", "Hello"),))


def test_a_thread_starts_without_files_rights_instructions_or_memory() -> None:
    params = thread_start_params(PROMPT, "/empty")
    del params["config"]
    assert params == {
        "model": "gpt-5.2",
        "cwd": "/empty",
        "ephemeral": True,
        "environments": [],
        "sandbox": "read-only",
        "approvalPolicy": "never",
        "baseInstructions": "",
        "developerInstructions": "",
        "experimentalRawEvents": True,
        "serviceTier": None,
        "dynamicTools": [],
    }


def test_the_config_of_a_thread_has_no_search_and_none_of_codexs_tools() -> None:
    assert thread_start_params(PROMPT, "/empty")["config"] == {
        "web_search": "disabled",
        "tools": {"experimental_request_user_input": {"enabled": False}, "update_plan": {"enabled": False}},
    }


def test_the_effort_is_part_of_the_config_and_the_tier_of_the_start_parameters() -> None:
    with_both = thread_start_params(replace(PROMPT, effort="high", tier="priority"), "/empty")
    with_none = thread_start_params(PROMPT, "/empty")
    assert with_both.pop("serviceTier") == "priority"
    assert with_both["config"].pop("model_reasoning_effort") == "high"
    del with_none["serviceTier"]
    assert with_both == with_none


def test_a_reasoning_summary_is_part_of_the_config() -> None:
    with_summary = thread_start_params(replace(PROMPT, summary="auto"), "/empty")
    assert with_summary["config"].pop("model_reasoning_summary") == "auto"
    assert with_summary == thread_start_params(PROMPT, "/empty")


def test_a_thread_has_only_the_tools_of_the_request_in_their_order() -> None:
    box = Toolbox((Tool.function("second", "Does this.", {"properties": {}}), Tool.custom("first", "Does that.", None)))
    with_tools = thread_start_params(replace(PROMPT, toolbox=box), "/empty")
    tools = with_tools.pop("dynamicTools")
    assert [tool["name"] for tool in tools] == ["second", "first"]
    assert tools == box.specs()
    without = thread_start_params(PROMPT, "/empty")
    assert without.pop("dynamicTools") == []
    assert with_tools == without


def test_items_and_settings_of_a_turn_do_not_change_the_start_parameters() -> None:
    other = replace(
        PROMPT,
        items=(message("user", "Something else"),),
        schema={"type": "object"},
        format_note="Answer in JSON.",
        choice_note="Use a tool.",
        one_call_at_a_time=True,
    )
    assert thread_start_params(other, "/empty") == thread_start_params(PROMPT, "/empty")
